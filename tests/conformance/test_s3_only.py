"""Hold S3 to what only S3 has, in writing: options, checksums, versions, conditions."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.watched import Watched, watching
from tests.servers.requests import Kind, Request
from tests.servers.s3_server import S3Server
from uploader.drain.steps import Batch, Link, PutWhole, answers_in
from uploader.drain.worker import Worker
from uploader.errors import ConflictError, ErrorClass, PermanentError, TransientError
from uploader.model import PutMode, SymlinkMode
from uploader.store.base import ObjectStore
from uploader.store.s3 import arguments, copying
from uploader.store.testing.given import Artifact, content_of, is_there, names_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
COPY = "a/copy"

WRITING = (Kind.PUT, Kind.BEGIN, Kind.COPY)
OF_BYTES = (Kind.PART, Kind.COMPLETE, Kind.HEAD, Kind.READ)


@pytest.fixture(scope="module")
def everything(seaweed: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """SeaweedFS, watched."""
    with watching(seaweed, tmp_path_factory.mktemp("spools")) as watched:
        yield watched


@pytest.fixture
def watched(everything: Watched) -> Watched:
    """SeaweedFS with nothing that another test left."""
    everything.begin_test()
    return everything


def write_all_ways(watched: Watched, store: ObjectStore) -> dict[str, Artifact]:
    """Store a whole object, one in parts, and a copy."""
    small = watched.artifacts.of(b"the bytes of a whole object")
    small.put(store, "whole")
    large, _ = watched.put_parts(store, "large")
    link = Artifact(small.blob, small.content)
    store.copy("whole", "copy", CREATE, link.meta)
    return {"whole": small, "large": large, "copy": link}


def header(request: Request, name: str) -> str | None:
    """Return an `x-amz-` header."""
    return request.headers.get(f"x-amz-{name}")


# -- options ------------------------------------------------------------------------------------


def test_options_reach_every_object_however_it_is_made(watched: Watched) -> None:
    """Storage class, tags, ACL and metadata: of a put, of the beginning of parts, of a copy."""
    store = watched.open(
        storage_class="STANDARD_IA",
        tags="team=vision&keep=yes",
        metadata="project=köln",
        acl="bucket-owner-full-control",
    )
    made = write_all_ways(watched, store)
    for kind in WRITING:
        request = watched.only(kind)
        assert header(request, "storage-class") == "STANDARD_IA"
        assert header(request, "acl") == "bucket-owner-full-control"
        assert header(request, "tagging") == "team=vision&keep=yes"
    for name in made:
        assert watched.described(name)["StorageClass"] == "STANDARD_IA"
        assert watched.described(name)["Metadata"]["project"] == "k%C3%B6ln"
        answer = watched.client.get_object_tagging(Bucket=watched.bucket, Key=watched.key(name))
        tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
        assert tags == {"team": "vision", "keep": "yes"}


def test_every_object_tells_where_it_comes_from(watched: Watched) -> None:
    """Upload id, CRC32C of the whole, time of the source, run and rank; in plain ASCII."""
    store = watched.open()
    made = write_all_ways(watched, store)
    for name, artifact in made.items():
        assert watched.described(name)["Metadata"] == {
            "uploader-id": artifact.upload_id,
            "uploader-crc32c": f"{artifact.meta.crc32c:08x}",
            "uploader-mtime": repr(artifact.meta.source_mtime),
            "uploader-run": artifact.meta.run,
            "uploader-rank": str(artifact.meta.rank),
        }


def test_the_requester_is_told_to_pay_with_every_request(watched: Watched) -> None:
    """Each of another's bucket is refused without it."""
    store = watched.open(requester_pays="yes")
    write_all_ways(watched, store)
    content_of(store, "whole")
    names_in(store)
    store.sweep(set(), 0)
    store.delete("whole")
    kinds = (*WRITING, *OF_BYTES, Kind.LIST, Kind.LIST_UNFINISHED)
    for kind in (*kinds, Kind.DELETE):
        requests = watched.requests(kind)
        assert requests
        assert {header(one, "request-payer") for one in requests} == {"requester"}, kind


def test_the_service_encrypts_with_its_own_key_when_asked(watched: Watched) -> None:
    """SSE-S3: it says so of each object, and reads are as ever."""
    store = watched.open(sse="AES256")
    made = write_all_ways(watched, store)
    for name, artifact in made.items():
        assert watched.described(name)["ServerSideEncryption"] == "AES256"
        assert content_of(store, name) == artifact.content


def test_an_object_with_a_customers_key_is_readable_with_that_alone(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSE-C: whole, in parts, and as the source of a copy."""
    monkeypatch.setenv(arguments.KEY_VARIABLE, base64.b64encode(os.urandom(32)).decode())
    store = watched.open(sse="customer")
    made = write_all_ways(watched, store)
    for name, artifact in made.items():
        assert content_of(store, name) == artifact.content
        assert store.head(name).upload_id == artifact.upload_id
        with pytest.raises(ClientError) as refused:
            watched.client.get_object(Bucket=watched.bucket, Key=watched.key(name))
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    monkeypatch.setenv(arguments.KEY_VARIABLE, base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(PermanentError):
        content_of(watched.open(sse="customer"), "whole")


# -- checksums ----------------------------------------------------------------------------------


def base64_of(crc32c: int | None) -> str:
    """Return a CRC32C as S3 writes it."""
    assert crc32c is not None
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def test_a_crc32c_goes_with_every_byte_and_one_with_the_whole(watched: Watched) -> None:
    """Taken when it was logged; the service refuses what differs."""
    store = watched.open()
    made = write_all_ways(watched, store)
    put = watched.only(Kind.PUT)
    assert header(put, "checksum-crc32c") == base64_of(made["whole"].meta.crc32c)
    assert "content-md5" not in put.headers
    parts = watched.requests(Kind.PART)
    assert len({header(part, "checksum-crc32c") for part in parts} - {None}) == 3
    begin = watched.only(Kind.BEGIN)
    assert header(begin, "checksum-algorithm") == "CRC32C"
    assert header(begin, "checksum-type") == "FULL_OBJECT"
    complete = watched.only(Kind.COMPLETE)
    assert header(complete, "checksum-type") == "FULL_OBJECT"
    assert header(complete, "checksum-crc32c") == base64_of(made["large"].meta.crc32c)
    for name, artifact in made.items():
        told = watched.described(name, ChecksumMode="ENABLED")["ChecksumCRC32C"]
        assert told == base64_of(artifact.meta.crc32c), name


def test_the_body_is_sent_as_it_is_without_a_trailer(watched: Watched) -> None:
    """The SDK would read it once more for a checksum of its own, and send it in chunks."""
    write_all_ways(watched, watched.open())
    for request in (watched.only(Kind.PUT), *watched.requests(Kind.PART)):
        assert header(request, "content-sha256") == "UNSIGNED-PAYLOAD"
        assert header(request, "trailer") is None
        assert "expect" not in request.headers


def test_a_service_without_crc32c_gets_a_content_md5(watched: Watched) -> None:
    """Of each body, after it was read and found to be what was logged; the whole is not told."""
    store = watched.open(can={"crc32c": False, "whole_crc32c": False})
    made = write_all_ways(watched, store)
    bodies = (watched.only(Kind.PUT), *watched.requests(Kind.PART))
    assert len({body.headers["content-md5"] for body in bodies}) == 4
    completion = watched.only(Kind.COMPLETE)
    for request in (*bodies, completion, watched.only(Kind.BEGIN)):
        assert not any(name.startswith("x-amz-checksum") for name in request.headers)
    for name, artifact in made.items():
        assert content_of(store, name) == artifact.content
        assert store.head(name).crc32c == artifact.meta.crc32c  # as it was sent along


def test_a_wrong_checksum_is_refused_by_the_service_itself(watched: Watched) -> None:
    """Whatever is damaged on the way is not stored; sent again, it is."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    wrong = replace(artifact.body, inline=b"CONTENT")  # read unchecked, as if damaged on the way
    with pytest.raises(TransientError, match="BadDigest"):
        store.put(NAME, wrong, CREATE, artifact.meta)
    assert not is_there(store, NAME)
    assert artifact.put(store, NAME).size == len(artifact.content)


# -- versions and conditions --------------------------------------------------------------------


def test_a_receipt_names_the_version_and_overwriting_leaves_no_delete_markers(
    watched: Watched, seaweed: S3Server
) -> None:
    """In a versioned bucket, with files and pointers over files and pointers."""
    bucket, watched.bucket = watched.bucket, seaweed.make_bucket()
    try:
        watched.client.put_bucket_versioning(
            Bucket=watched.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        store = watched.open()
        receipts = []
        for content in (b"version 1", b"version 2"):
            one = watched.artifacts.of(content)
            receipts.append(PutWhole(NAME, one.body, OVERWRITE, one.meta).perform(store))
            meta = replace(one.meta, size=0, crc32c=None)
            receipts.append(Link(NAME, "ln", OVERWRITE, SymlinkMode.POINTER, meta).perform(store))
        _, in_parts = watched.put_parts(store, NAME, OVERWRITE)
        receipts.append(in_parts)
        found = watched.client.list_object_versions(Bucket=watched.bucket)
        assert {one.version for one in receipts} == {one["VersionId"] for one in found["Versions"]}
        assert len(receipts) == len(found["Versions"]) == 5
        assert "DeleteMarkers" not in found
    finally:
        watched.bucket = bucket


def test_a_create_is_for_the_service_to_decide(watched: Watched) -> None:
    """Another's object that comes at the last moment stays."""
    store = watched.open()
    watched.just_before(Kind.PUT, NAME, b"another's")
    with pytest.raises(ConflictError, match="already exists"):
        watched.artifacts.of(b"ours").put(store, NAME)
    assert watched.only(Kind.PUT).headers["if-none-match"] == "*"
    assert content_of(store, NAME) == b"another's"


def test_a_create_in_parts_is_for_the_service_to_decide(watched: Watched) -> None:
    """As late as at its completion; its parts are the caller's to abort."""
    store = watched.open()
    watched.just_before(Kind.COMPLETE, NAME, b"another's")
    with pytest.raises(ConflictError, match="already exists"):
        watched.put_parts(store, NAME)
    assert watched.only(Kind.COMPLETE).headers["if-none-match"] == "*"
    assert content_of(store, NAME) == b"another's"
    session = watched.only(Kind.COMPLETE).query["uploadId"]
    store.abort(NAME, session, "")
    assert store.sweep(set(), 0) == []


def test_an_overwrite_replaces_what_it_looked_at_and_nothing_newer(watched: Watched) -> None:
    """Another's object that comes after the look is looked at in turn."""
    store = watched.open()
    watched.put_by_another(NAME, b"old")
    artifact = watched.artifacts.of(b"ours")
    watched.just_before(Kind.PUT, NAME, b"newer")
    with pytest.raises(TransientError, match="replaced by another at the same moment"):
        artifact.put(store, NAME, OVERWRITE)
    assert content_of(store, NAME) == b"newer"
    artifact.put(store, NAME, OVERWRITE)
    assert content_of(store, NAME) == b"ours"


UNSAFE = {"conditional_put": False, "conditional_complete": False, "conditional_copy": False}


def create_each_way(watched: Watched, store: ObjectStore) -> dict[str, Any]:
    """Return what creates an object, by the way it goes."""
    small = watched.artifacts.of(b"ours")
    return {
        "put": lambda name: small.put(store, name),
        "parts": lambda name: watched.put_parts(store, name),
        "copy": lambda name: store.copy("source", name, CREATE, small.meta),
    }


@pytest.mark.parametrize("way", ["put", "parts", "copy"])
def test_an_endpoint_that_cannot_create_only_is_not_trusted_with_it(
    watched: Watched, way: str
) -> None:
    """Refused with what to do; nothing was written. With overwrite there is nothing to refuse."""
    store = watched.open(can=UNSAFE)
    watched.artifacts.of(b"source").put(store, "source", OVERWRITE)
    with pytest.raises(PermanentError, match="--allow-unsafe-create") as refused:
        create_each_way(watched, store)[way](NAME)
    assert "does not honour create-only requests" in str(refused.value)
    assert names_in(store) == ["source"]
    assert store.sweep(set(), 0) == []


@pytest.mark.parametrize("way", ["put", "parts", "copy"])
def test_who_accepts_the_risk_may_create_there_by_looking_first(watched: Watched, way: str) -> None:
    """An object that is there already is found, and stays."""
    store = watched.open(can=UNSAFE, allow_unsafe_create="yes")
    watched.artifacts.of(b"source").put(store, "source", OVERWRITE)
    create = create_each_way(watched, store)[way]
    create(NAME)
    watched.put_by_another("taken", b"another's")
    with pytest.raises(ConflictError):
        create("taken")
    assert content_of(store, "taken") == b"another's"
    for kind in (Kind.PUT, Kind.COMPLETE, Kind.COPY):
        assert all("if-none-match" not in one.headers for one in watched.requests(kind))


def test_an_object_that_no_service_takes_is_refused_before_it_is_begun(
    watched: Watched, tmp_path: Path
) -> None:
    """Not after 5 TiB."""
    store = watched.open()
    meta = replace(watched.artifacts.of(b"").meta, size=(5 << 40) + 1)
    before = len(watched.proxy.requests)
    with pytest.raises(PermanentError, match=r"an object has at most 5497558138880"):
        store.begin(NAME, CREATE, meta)
    assert len(watched.proxy.requests) == before
    assert copying.PARTS_MAX * copying.PART < meta.size <= copying.PARTS_MAX * (5 << 30)


def test_small_files_that_go_together_take_one_request_each(watched: Watched) -> None:
    """And one for all of them: whether any of their names is a symlink's."""
    artifact = watched.artifacts.of(b"small")
    watched.open().put("files/5.symlink", artifact.body, CREATE, artifact.meta)
    steps = [
        PutWhole(
            f"files/{number}", artifact.body, CREATE, replace(artifact.meta, upload_id=f"u{number}")
        )
        for number in range(10)
    ]
    worker = Worker(watched.place())
    watched.forget()
    answers = answers_in(worker.answer(Batch(tuple(steps))), len(steps))
    worker._close()
    assert [one.failure and one.failure.error_class for one in answers] == [
        ErrorClass.CONFLICT if number == 5 else None for number in range(10)
    ]
    assert len(watched.requests(Kind.PUT)) == 9
    assert len(watched.requests(Kind.HEAD)) == 1  # of the one that is there
    assert len(watched.requests(Kind.LIST)) == 1
