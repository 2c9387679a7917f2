"""Hold GCS to what only GCS has, in writing: options, checksums, requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.watched_gcs import (
    WatchedGcs,
    parts_at_once,
    watching_gcs,
    write_all_ways,
)
from tests.servers.faults import Answer
from tests.servers.plain import wait_until
from tests.servers.requests import Kind
from tests.servers.strict_gcs.running import StrictGcs
from uploader.drain.steps import Batch, PutWhole, answers_in
from uploader.drain.worker import Worker
from uploader.errors import (
    ErrorClass,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import PutMode
from uploader.store.testing.given import Artifact, content_of, is_there, names_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
PROJECT = "fox"

#: The requests that bring an object to a name.
MAKING = (Kind.PUT, Kind.BEGIN, Kind.COPY, Kind.COMPOSE)
OF_A_SESSION = (Kind.PART, Kind.COMPLETE, Kind.STATUS, Kind.ABORT)


@pytest.fixture(scope="module")
def everything(
    strict_gcs: StrictGcs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedGcs]:
    """The strict server, watched."""
    with watching_gcs(strict_gcs, tmp_path_factory.mktemp("spools")) as watched:
        yield watched


@pytest.fixture
def watched(everything: WatchedGcs) -> WatchedGcs:
    """The strict server with nothing that another test left."""
    everything.begin_test()
    return everything


# -- options ------------------------------------------------------------------------------------


def test_options_reach_every_object_however_it_is_made(watched: WatchedGcs) -> None:
    """Storage class, KMS key, ACL and metadata: of each way, as the service keeps them."""
    store = watched.open(
        storage_class="NEARLINE",
        kms_key_id=KEY,
        metadata="project=köln",
        acl="bucketOwnerRead",
    )
    for name in write_all_ways(watched, store):
        told = watched.described(name)
        assert told["storageClass"] == "NEARLINE", name
        assert told["kmsKeyName"].startswith(KEY), name
        assert told["metadata"]["project"] == "köln", name
        assert ("project-owners-test", "READER") in watched.acl_of(name), name


def test_the_parts_of_an_object_have_its_options_too(watched: WatchedGcs) -> None:
    """Objects of another storage class cannot be put together, nor may bytes lie about in clear."""
    store = watched.open(storage_class="NEARLINE", kms_key_id=KEY, acl="projectPrivate")
    with parts_at_once():
        artifact, (one, *_) = watched.artifacts.for_parts(store)
        artifact.send(store, NAME, artifact.begin(store, NAME), one)
    (part,) = watched.all_names()
    told = watched.described(part)
    assert told["storageClass"] == "NEARLINE"
    assert told["kmsKeyName"].startswith(KEY)
    assert ("project-viewers-test", "READER") in watched.acl_of(part)


def test_every_object_tells_where_it_comes_from(watched: WatchedGcs) -> None:
    """Upload id, CRC32C of the whole, time of the source, run and rank."""
    for name, artifact in write_all_ways(watched, watched.open()).items():
        told = watched.described(name)["metadata"]
        assert told == {
            "uploader-id": artifact.upload_id,
            "uploader-crc32c": f"{artifact.meta.crc32c:08x}",
            "uploader-mtime": repr(artifact.meta.source_mtime),
            "uploader-run": artifact.meta.run,
            "uploader-rank": str(artifact.meta.rank),
        }, name


def test_our_own_metadata_goes_over_that_of_the_user(watched: WatchedGcs) -> None:
    """By it a retry knows its own object: nothing is told in its place."""
    artifact = watched.artifacts.of(b"content")
    with pytest.raises(ValueError, match="uploader-"):
        watched.open(metadata="uploader-id=another")
    artifact.put(watched.open(metadata="Uploader=x"), NAME)
    told = watched.described(NAME)["metadata"]
    assert (told["Uploader"], told["uploader-id"]) == ("x", artifact.upload_id)


def test_the_project_that_pays_is_named_with_every_request(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """The service refuses each without it; a session's URI is the right to use it."""
    with strict_gcs.behaving(user_project=PROJECT):
        store = watched.open(user_project=PROJECT)
        write_all_ways(watched, store)
        content_of(store, "whole")
        names_in(store)
        store.sweep(set(), 0)
        store.delete("whole")
        artifact, _ = watched.artifacts.for_parts(store)
        artifact.abort(store, NAME, artifact.begin(store, NAME))
        store.prepare(first=False)
        watched.open(tried=False, user_project=PROJECT).prepare(first=True)
        with pytest.raises(PermanentError, match="requester pays"):
            watched.open().head("large")
    kinds = {*MAKING, *OF_A_SESSION, Kind.READ, Kind.HEAD, Kind.LIST, Kind.DELETE}
    asked = watched.proxy.requests[watched._before : -1]
    assert {one.kind for one in asked} == kinds
    others = [one for one in asked if one.kind not in OF_A_SESSION]
    assert {one.query.get("userProject") for one in others} == {PROJECT}


def test_who_forgot_the_project_that_pays_is_told_the_option(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """With its flag; another try would not help."""
    with (
        strict_gcs.behaving(user_project=PROJECT),
        pytest.raises(PermanentError, match="--user-project"),
    ):
        watched.open().head(NAME)


# -- checksums ----------------------------------------------------------------------------------


def spoiled(artifact: Artifact) -> Artifact:
    """Return an upload of the same id and checksum whose bytes are others: damaged on the way."""
    return Artifact(artifact.blob, bytes(len(artifact.content)), artifact.upload_id)


def test_a_wrong_checksum_of_a_put_is_refused_by_the_service_itself(watched: WatchedGcs) -> None:
    """Whatever is damaged on the way is not stored; sent again, it is."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    wrong = replace(artifact.body, inline=b"CONTENT")  # read unchecked, as if damaged on the way
    with pytest.raises(TransientError, match="CRC32C"):
        store.put(NAME, wrong, CREATE, artifact.meta)
    assert not is_there(store, NAME)
    assert artifact.put(store, NAME).size == len(artifact.content)


def test_a_wrong_checksum_of_a_session_is_refused_at_its_end(watched: WatchedGcs) -> None:
    """What a session has cannot be mended: it begins anew, and nothing was ever visible."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    sent = []
    for part in parts:
        body = artifact.part_body(part)
        if part.number == 1:
            body = replace(body, path="", offset=0, inline=bytes(part.size))
        sent.append(store.put_part(NAME, session, part, body))
    with pytest.raises(SessionLostError, match="CRC32C"):
        artifact.complete(store, NAME, session, sent)
    assert not is_there(store, NAME)
    watched.put_parts(store, NAME)


def test_a_wrong_checksum_of_a_part_is_refused_by_the_service_itself(watched: WatchedGcs) -> None:
    """It alone is sent again."""
    store = watched.open()
    with parts_at_once():
        artifact, (one, *others) = watched.artifacts.for_parts(store)
        session = artifact.begin(store, NAME)
        wrong = replace(artifact.part_body(one), inline=bytes(one.size))
        with pytest.raises(TransientError, match="CRC32C"):
            store.put_part(NAME, session, one, wrong)
        assert watched.all_names() == set()
        sent = [artifact.send(store, NAME, session, part) for part in (one, *others)]
        artifact.complete(store, NAME, session, sent)
    assert content_of(store, NAME) == artifact.content


def test_a_damaged_file_is_never_finished(watched: WatchedGcs) -> None:
    """The service gets all but its end, or nothing: no object is made of it, nor a part."""
    store = watched.open()
    artifact = watched.artifacts.of(bytes(3 << 20))
    artifact.blob.write_bytes(bytes((3 << 20) - 1) + b"!")
    with pytest.raises(Exception, match="spool file damaged"):
        artifact.put(store, NAME)
    wait_until(lambda: watched.requests(Kind.PUT))
    assert watched.only(Kind.PUT).upstream_status is None
    assert watched.all_names() == set()


# -- requests -----------------------------------------------------------------------------------


def test_small_files_that_go_together_take_one_request_each(watched: WatchedGcs) -> None:
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


def test_an_object_that_no_service_takes_is_refused_before_it_is_begun(watched: WatchedGcs) -> None:
    """Not after 5 TiB."""
    store = watched.open()
    meta = replace(watched.artifacts.of(b"").meta, size=(5 << 40) + 1)
    before = len(watched.proxy.requests)
    with pytest.raises(PermanentError, match=r"an object has at most 5497558138880"):
        store.begin(NAME, CREATE, meta)
    assert len(watched.proxy.requests) == before


@pytest.mark.parametrize("mode", PutMode)
def test_what_may_not_be_looked_at_is_not_taken_for_missing(
    watched: WatchedGcs, mode: PutMode
) -> None:
    """Or an object would be overwritten that must not be; the permission is named."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    artifact.put(store, NAME)
    watched.proxy.decide = lambda one: (
        Answer(403, "forbidden") if one.kind in (Kind.HEAD, Kind.READ) else None
    )
    with pytest.raises(
        PermanentError, match=r"allow storage.objects.get, and storage.objects.list"
    ):
        store.head(NAME)
    with pytest.raises(PermanentError, match="forbidden"):
        artifact.put(store, NAME, OVERWRITE) if mode is OVERWRITE else artifact.begin(store, NAME)


@pytest.mark.parametrize("offset", [0, 1, 3 << 20, (3 << 20) + 6, (3 << 20) + 7])
def test_a_read_goes_on_at_any_byte(watched: WatchedGcs, offset: int) -> None:
    """The service is asked for the rest alone; from the end there is just nothing left."""
    store = watched.open()
    content = bytes(range(256)) * ((3 << 20) // 256) + b"the end"
    watched.artifacts.of(content).put(store, NAME)
    assert content_of(store, NAME)[offset:] == b"".join(store.read(NAME, offset))
    asked = watched.requests(Kind.READ)[-1].headers.get("range")
    assert asked == (f"bytes={offset}-" if offset else None)
