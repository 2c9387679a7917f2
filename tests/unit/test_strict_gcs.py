"""Hold the tests' strict GCS server to the API, by Google's own client."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    GoogleAPICallError,
    NotFound,
    PreconditionFailed,
)
from google.cloud.storage import transfer_manager

from tests.servers.strict_gcs.asking import Asking, crc_of
from tests.servers.strict_gcs.running import StrictGcs

MIB = 1024 * 1024

#: Who races for a name.
RIVALS = 8


@pytest.fixture
def bucket(strict_gcs: StrictGcs) -> Any:
    """Make a bucket, as Google's client sees it."""
    return strict_gcs.client().bucket(strict_gcs.make_bucket())


def put(bucket: Any, name: str, data: bytes = b"content", **how: Any) -> Any:
    """Store an object, return its blob."""
    blob = bucket.blob(name)
    blob.upload_from_string(data, **how)
    return blob


def test_what_is_put_is_read_back_with_all_that_was_said_of_it(bucket: Any) -> None:
    """Bytes, custom metadata, content type, storage class, checksums."""
    blob = bucket.blob("a folder/ü %2F?#&+.bin")
    blob.metadata = {"uploader-id": "1", "ключ": "значение"}
    blob.storage_class = "NEARLINE"
    blob.upload_from_string(b"content", content_type="text/x")
    again = bucket.get_blob(blob.name)
    assert again.download_as_bytes() == b"content"
    assert again.metadata == {"uploader-id": "1", "ключ": "значение"}
    assert (again.storage_class, again.content_type, again.size) == ("NEARLINE", "text/x", 7)
    assert again.crc32c == crc_of(b"content")
    assert (again.md5_hash, again.metageneration) == ("mgNkuembtIDdJeHwKEyFVQ==", 1)


def test_every_object_has_a_larger_generation(bucket: Any) -> None:
    """Also one that replaces another, and one that comes after a removal."""
    generations = [put(bucket, name).generation for name in ("a", "b", "a")]
    bucket.blob("b").delete()
    generations.append(put(bucket, "b").generation)
    assert generations == sorted(set(generations))


def test_a_name_is_taken_only_if_the_precondition_holds(bucket: Any) -> None:
    """Generation 0 is a free name; a wrong one changes nothing."""
    first = put(bucket, "k", b"first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        put(bucket, "k", b"second", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        put(bucket, "k", b"second", if_generation_match=first.generation + 1)
    with pytest.raises(PreconditionFailed):
        put(bucket, "k", b"second", if_generation_not_match=first.generation)
    with pytest.raises(PreconditionFailed):
        put(bucket, "k", b"second", if_metageneration_match=2)
    with pytest.raises(PreconditionFailed):
        put(bucket, "free", if_generation_match=5)
    assert bucket.blob("k").download_as_bytes() == b"first"
    put(bucket, "k", b"third", if_generation_match=first.generation)
    assert bucket.blob("k").download_as_bytes() == b"third"


def by_put(bucket: Any, name: str) -> None:
    """Take a name with one request."""
    put(bucket, name, if_generation_match=0, retry=None)


def by_session(bucket: Any, name: str) -> None:
    """Take a name with a session."""
    blob = bucket.blob(name, chunk_size=MIB)
    blob.upload_from_file(io.BytesIO(b"content"), if_generation_match=0, retry=None)


def by_compose(bucket: Any, name: str) -> None:
    """Take a name with a compose."""
    bucket.blob(name).compose([bucket.blob("source")], if_generation_match=0, retry=None)


def by_rewrite(bucket: Any, name: str) -> None:
    """Take a name with a rewrite."""
    bucket.blob(name).rewrite(bucket.blob("source"), if_generation_match=0, retry=None)


@pytest.mark.parametrize("take", [by_put, by_session, by_compose, by_rewrite])
def test_one_of_many_wins_a_name(bucket: Any, take: Callable[[Any, str], None]) -> None:
    """Whatever the way, the others are told 412."""
    put(bucket, "source")
    for round_ in range(3):
        start = threading.Barrier(RIVALS)
        outcomes: list[type[BaseException] | None] = []

        def go(name: str, start: threading.Barrier, outcomes: list[Any]) -> None:
            start.wait()
            try:
                take(bucket, name)
                outcomes.append(None)
            except GoogleAPICallError as refusal:
                outcomes.append(type(refusal))

        args = (f"name-{round_}", start, outcomes)
        threads = [threading.Thread(target=go, args=args) for _ in range(RIVALS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(None) == 1
        assert outcomes.count(PreconditionFailed) == RIVALS - 1


def test_a_removal_is_held_to_its_precondition(bucket: Any) -> None:
    """The generation that was known, or nothing."""
    blob = put(bucket, "k")
    with pytest.raises(PreconditionFailed):
        bucket.blob("k").delete(if_generation_match=blob.generation + 1)
    with pytest.raises(NotFound):
        bucket.blob("k", generation=blob.generation + 1).delete()
    bucket.blob("k").delete(if_generation_match=blob.generation)
    with pytest.raises(NotFound):
        bucket.blob("k").delete()


def test_a_patch_changes_the_metageneration_alone(bucket: Any) -> None:
    """Metadata is merged, the bytes and the generation stay."""
    blob = bucket.blob("k")
    blob.metadata = {"a": "1", "b": "2"}
    blob.upload_from_string(b"content")
    generation, etag = blob.generation, blob.etag
    blob.metadata = {"b": None, "c": "3"}
    blob.patch(if_metageneration_match=1)
    again = bucket.get_blob("k")
    assert (again.generation, again.metageneration) == (generation, 2)
    assert again.metadata == {"a": "1", "c": "3"}
    assert again.etag != etag
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_a_list_comes_in_pages_in_the_order_of_names(bucket: Any) -> None:
    """By the bytes of UTF-8, only those with the prefix, each once."""
    names = ["p/a", "p/a-b", "p/a.b", "p/a/b", "p/ab", "p/z", "p/ä", "p/😀"]
    for name in ["o", "q", *reversed(names)]:
        put(bucket, name)
    pages = bucket.list_blobs(prefix="p/", page_size=3).pages
    assert [[blob.name for blob in page] for page in pages] == [names[:3], names[3:6], names[6:]]
    bucket.blob("p/ab").delete()
    assert "p/ab" not in [blob.name for blob in bucket.list_blobs()]


def test_a_rewrite_takes_as_many_calls_as_the_size_asks_for(
    strict_gcs: StrictGcs, bucket: Any
) -> None:
    """The copy is there after the last alone, with the source's bytes and metadata."""
    data = os.urandom(2 * MIB + 1)
    source = bucket.blob("source")
    source.metadata = {"a": "1"}
    source.upload_from_string(data)
    copy, size = bucket.blob("copy"), len(data)
    with strict_gcs.behaving(rewrite_bytes=MIB):
        token, *told = copy.rewrite(source)
        assert told == [MIB, size]
        token, *told = copy.rewrite(source, token=token)
        assert told == [2 * MIB, size]
        assert not copy.exists()
        assert copy.rewrite(source, token=token) == (None, size, size)
    assert copy.download_as_bytes() == data
    assert bucket.get_blob("copy").metadata == {"a": "1"}


def test_a_rewrite_token_is_good_once_and_for_its_source_alone(
    strict_gcs: StrictGcs, bucket: Any
) -> None:
    """A source that was replaced is another one."""
    source, copy = put(bucket, "source", bytes(2 * MIB)), bucket.blob("copy")
    with strict_gcs.behaving(rewrite_bytes=MIB):
        token, _, _ = copy.rewrite(source)
        put(bucket, "source", bytes(2 * MIB))
        with pytest.raises(GoogleAPICallError, match="rewrite token") as refusal:
            copy.rewrite(bucket.blob("source"), token=token)
    assert refusal.value.code == 410


def test_a_rewrite_is_held_to_the_preconditions_of_both_ends(bucket: Any) -> None:
    """The source's generation, and the destination's."""
    source = put(bucket, "source")
    put(bucket, "taken")
    with pytest.raises(PreconditionFailed):
        bucket.blob("taken").rewrite(source, if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("copy").rewrite(source, if_source_generation_match=source.generation + 1)
    with pytest.raises(NotFound):
        bucket.blob("copy").rewrite(bucket.blob("missing"))
    bucket.blob("copy").rewrite(
        source, if_generation_match=0, if_source_generation_match=source.generation
    )
    assert bucket.blob("copy").download_as_bytes() == b"content"


def test_a_compose_joins_bytes_and_checksums(bucket: Any) -> None:
    """The whole has a CRC32C and a count of components, and no MD5."""
    parts = [os.urandom(size) for size in (1, 300_000, 0, 77, 65_536)]
    blobs = [put(bucket, f"part-{at}", part) for at, part in enumerate(parts)]
    whole = bucket.blob("whole")
    whole.compose(blobs)
    again = bucket.get_blob("whole")
    assert again.download_as_bytes() == b"".join(parts)
    assert again.crc32c == crc_of(b"".join(parts))
    assert (again.component_count, again.md5_hash) == (5, None)
    twice = bucket.blob("twice")
    twice.compose([whole, whole])
    assert twice.component_count == 10
    assert (
        twice.download_as_bytes(start=299_999, end=700_000)
        == (b"".join(parts * 2)[299_999:700_001])
    )


def test_a_compose_is_held_to_its_preconditions_and_to_32_sources(bucket: Any) -> None:
    """Nothing is made of a wrong generation, a missing source, or too many."""
    source = put(bucket, "source")
    bucket.blob("most").compose([source] * 32)
    with pytest.raises(BadRequest):
        bucket.blob("whole").compose([source] * 33)
    with pytest.raises(PreconditionFailed):
        bucket.blob("most").compose([source], if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("whole").compose([source], if_source_generation_match=[1])
    with pytest.raises(NotFound):
        bucket.blob("whole").compose([bucket.blob("source", generation=1)])
    with pytest.raises(NotFound):
        bucket.blob("whole").compose([source, bucket.blob("missing")])
    assert not bucket.blob("whole").exists()


def test_a_compose_deletes_its_sources_if_asked(bucket: Any) -> None:
    """The whole keeps their bytes."""
    sources = [put(bucket, name, name.encode()) for name in "ab"]
    bucket.blob("whole").compose(sources, delete_source_objects=True)
    assert [blob.name for blob in bucket.list_blobs()] == ["whole"]
    assert bucket.blob("whole").download_as_bytes() == b"ab"


def test_a_key_a_class_and_an_acl_are_checked_and_told(strict_gcs: StrictGcs, bucket: Any) -> None:
    """The key with its version, as GCS tells it; nonsense is refused."""
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    blob = bucket.blob("k", kms_key_name=key)
    blob.upload_from_string(b"content", predefined_acl="publicRead")
    assert bucket.get_blob("k").kms_key_name == f"{key}/cryptoKeyVersions/1"
    blob.acl.reload()
    assert "allUsers" in [entry["entity"] for entry in blob.acl]
    asking = Asking(strict_gcs, bucket.name)
    assert asking.put("l", b"content", "&predefinedAcl=everybody").status == 400
    with pytest.raises(BadRequest):
        bucket.blob("l", kms_key_name="k").upload_from_string(b"content")
    wrong = bucket.blob("l")
    wrong.storage_class = "WARM"
    with pytest.raises(BadRequest):
        wrong.upload_from_string(b"content")
    assert not wrong.exists()


def test_a_missing_bucket_is_told_apart_from_a_missing_object(strict_gcs: StrictGcs) -> None:
    """Both are 404 notFound; the message tells."""
    client = strict_gcs.client()
    with pytest.raises(NotFound, match="bucket does not exist"):
        put(client.bucket("no-such-bucket"), "k")
    with pytest.raises(NotFound, match="bucket does not exist"):
        client.get_bucket("no-such-bucket")
    with pytest.raises(NotFound, match="No such object"):
        client.bucket(strict_gcs.make_bucket()).blob("k").reload()


def test_a_bucket_is_made_once_and_removed_when_it_is_empty(strict_gcs: StrictGcs) -> None:
    """Else 409."""
    name = strict_gcs.make_bucket()
    with pytest.raises(Conflict):
        strict_gcs.client().create_bucket(name)
    bucket = strict_gcs.client().get_bucket(name)
    put(bucket, "k")
    with pytest.raises(Conflict):
        bucket.delete()
    bucket.blob("k").delete()
    bucket.delete()
    assert not bucket.exists()


def test_what_is_denied_is_forbidden(strict_gcs: StrictGcs, bucket: Any) -> None:
    """Replacing an object needs the permission to delete one."""
    put(bucket, "k")
    everything = ["storage.objects.get", "storage.objects.list", "storage.objects.delete"]
    with strict_gcs.behaving(deny=everything):
        put(bucket, "free", if_generation_match=0)
        for refused in (
            lambda: put(bucket, "k"),
            lambda: bucket.blob("k").delete(),
            lambda: bucket.blob("k").download_as_bytes(),
            lambda: list(bucket.list_blobs()),
        ):
            with pytest.raises(Forbidden):
                refused()
        asked = [*everything, "storage.objects.create"]
        assert bucket.test_iam_permissions(asked) == ["storage.objects.create"]
    assert bucket.blob("k").download_as_bytes() == b"content"


def test_googles_parallel_upload_is_put_together(
    strict_gcs: StrictGcs, bucket: Any, tmp_path: Path
) -> None:
    """By the XML API's multipart uploads."""
    (tmp_path / "file").write_bytes(data := os.urandom(11 * MIB))
    blob = bucket.blob("a folder/ü.bin")
    blob.metadata = {"a": "1"}
    transfer_manager.upload_chunks_concurrently(
        str(tmp_path / "file"), blob, chunk_size=5 * MIB, worker_type=transfer_manager.THREAD
    )
    again = bucket.get_blob(blob.name)
    assert again.download_as_bytes() == data
    assert (again.metadata, again.crc32c) == ({"a": "1"}, crc_of(data))


def test_a_part_of_a_parallel_upload_is_checked(strict_gcs: StrictGcs, bucket: Any) -> None:
    """Its checksum when it comes, its ETag and size at the end."""
    asking = Asking(strict_gcs, bucket.name)
    begun = asking.ask("POST", f"/{bucket.name}/k?uploads")
    upload_id = begun.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    target = f"/{bucket.name}/k?uploadId={upload_id}"
    wrong = {"x-goog-hash": f"crc32c={crc_of(b'x')}"}
    refused = asking.ask("PUT", f"{target}&partNumber=1", b"part", wrong)
    assert (refused.status, b"BadDigest" in refused.body) == (400, True)
    etags = [
        asking.ask("PUT", f"{target}&partNumber={number}", b"part").headers["etag"]
        for number in (1, 2)
    ]
    for told, code in (
        ([(1, etags[1])], b"InvalidPart"),
        ([(2, etags[1]), (1, etags[0])], b"InvalidPartOrder"),
        ([(1, etags[0]), (2, etags[1])], b"EntityTooSmall"),
    ):
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in told
        )
        refused = asking.ask("POST", target, f"<Complete>{parts}</Complete>")
        assert (refused.status, code in refused.body) == (400, True)
    assert asking.ask("DELETE", target).status == 204
    assert asking.ask("GET", target).status == 404
    assert asking.get("k").status == 404
