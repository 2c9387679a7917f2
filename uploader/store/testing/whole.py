"""Hold a store to its contract for whole objects, for reading, and for names."""

from __future__ import annotations

import pytest

from uploader.errors import ConflictError, DamagedError, NotFoundError, PermanentError
from uploader.model import PutMode
from uploader.store.base import ObjectStore
from uploader.store.testing.given import Artifact, Artifacts, content_of, is_there, names_in
from uploader.store.testing.given import unfinished as unfinished_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE

#: names that look odd and are fine everywhere
ODD_NAMES = (
    "with spaces and +&=%20?#",
    "名前/\U0001f600/ü",
    ".hidden/..twice/...thrice",
    "-rf",
    "a'b\"c`$(d)\\e",
    "/".join(["deep"] * 200),  # 999 bytes
)


class WholeObjects:
    """Objects that are put in one request."""

    @pytest.mark.parametrize("mode", PutMode)
    def test_a_put_object_reads_back_as_it_was(
        self, store: ObjectStore, artifacts: Artifacts, mode: PutMode
    ) -> None:
        """Either mode: the bytes, and a receipt with their size and checksum."""
        artifact = artifacts.of(b"some bytes" * 300_000)
        receipt = artifact.put(store, "a/name", mode)
        assert content_of(store, "a/name") == artifact.content
        assert (receipt.size, receipt.crc32c) == (artifact.meta.size, artifact.meta.crc32c)
        assert receipt.etag

    def test_an_object_says_which_upload_made_it(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """By its metadata a retry knows its own object, and `verify` its bytes."""
        artifact = artifacts.of(b"content")
        receipt = artifact.put(store, "name")
        info = store.head("name")
        assert (info.name, info.size) == ("name", 7)
        assert (info.upload_id, info.crc32c) == (artifact.upload_id, artifact.meta.crc32c)
        assert info.etag == receipt.etag
        assert info.target is None

    @pytest.mark.parametrize("mode", PutMode)
    def test_an_empty_file_is_an_object(
        self, store: ObjectStore, artifacts: Artifacts, mode: PutMode
    ) -> None:
        """Nothing to send is not nothing to do."""
        assert artifacts.of(b"").put(store, "empty", mode).size == 0
        assert content_of(store, "empty") == b""
        assert store.head("empty").crc32c == 0

    @pytest.mark.parametrize("mode", PutMode)
    def test_the_same_upload_again_is_success(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts, mode: PutMode
    ) -> None:
        """A try whose answer was lost had in fact succeeded; the next finds its own object."""
        artifact = artifacts.of(b"content")
        artifact.put(store, "name", mode)
        again = artifact.put(another, "name", mode)
        assert (again.size, again.crc32c) == (7, artifact.meta.crc32c)
        assert content_of(store, "name") == b"content"

    def test_create_never_replaces_an_object(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Another's object keeps its name, also one of equal bytes."""
        first = artifacts.of(b"first")
        first.put(store, "name")
        for content in (b"other", b"first"):
            with pytest.raises(ConflictError, match="already exists"):
                artifacts.of(content).put(another, "name")
        assert store.head("name").upload_id == first.upload_id
        assert content_of(store, "name") == b"first"
        assert unfinished_in(store) == []

    def test_overwrite_replaces_an_object(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """The newer bytes, and the newer upload's mark."""
        artifacts.of(b"a longer first version").put(store, "name")
        newer = artifacts.of(b"newer")
        newer.put(store, "name", OVERWRITE)
        assert content_of(store, "name") == b"newer"
        assert store.head("name").upload_id == newer.upload_id

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "symlinked"])
    @pytest.mark.parametrize("mode", PutMode)
    def test_a_damaged_body_is_never_visible(
        self, store: ObjectStore, artifacts: Artifacts, mode: PutMode, damage: str
    ) -> None:
        """Nothing appears, what was there stays, and nothing unfinished is left."""
        if mode is OVERWRITE:
            artifacts.of(b"before").put(store, "name")
        artifact = artifacts.of(b"content" * 500_000)
        spoil(artifact, damage)
        with pytest.raises(DamagedError, match="spool file damaged"):
            artifact.put(store, "name", mode)
        assert names_in(store) == (["name"] if mode is OVERWRITE else [])
        assert mode is CREATE or content_of(store, "name") == b"before"
        assert unfinished_in(store) == []


class ReadingAndListing:
    """What is there, and what is not."""

    tells_backslash = True  #: False: the service itself takes `\\` for `/`

    def test_reading_begins_at_an_offset(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """A fetch that was cut off goes on where it was; the end has no bytes."""
        content = bytes(range(256)) * 10_000
        artifacts.of(content).put(store, "name")
        assert b"".join(store.read("name", 2_000_003)) == content[2_000_003:]
        assert b"".join(store.read("name", len(content))) == b""

    def test_what_is_not_there_is_not_found(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """In an empty place, beside an object, and below a name that is no directory."""
        artifacts.of(b"x").put(store, "a/name")
        for name in ("name", "a/name2", "b/name"):
            with pytest.raises(NotFoundError):
                store.head(name)
            with pytest.raises(NotFoundError):
                list(store.read(name))
        for name in ("a", "a/name/below"):  # a file system says more than that it is not there
            with pytest.raises(PermanentError):
                store.head(name)

    def test_delete_removes_an_object(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """Again, or of what never was, is success."""
        artifacts.of(b"x").put(store, "a/name")
        for name in ("a/name", "a/name", "never/was"):
            store.delete(name)
        assert not is_there(store, "a/name")
        artifacts.of(b"y").put(store, "a/name")

    def test_objects_are_listed_by_prefix(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """A prefix is the beginning of a name, which need not end at a slash."""
        for name in ("b/1", "a/1", "a/2", "ab", "c"):
            artifacts.of(name.encode()).put(store, name)
        assert names_in(store) == ["a/1", "a/2", "ab", "b/1", "c"]
        assert names_in(store, "a") == ["a/1", "a/2", "ab"]
        assert names_in(store, "a/") == ["a/1", "a/2"]
        assert names_in(store, "none") == []

    def test_a_listing_says_what_head_says(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """`verify` may use either."""
        artifact = artifacts.of(b"content")
        artifact.put(store, "a/name")
        (listed,) = store.objects()
        assert (listed.name, listed.size, listed.etag) == (
            "a/name",
            7,
            store.head("a/name").etag,
        )

    @pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[1:12])
    def test_an_odd_name_is_a_name(
        self, store: ObjectStore, artifacts: Artifacts, name: str
    ) -> None:
        """It is put, described, listed, read and removed under exactly itself."""
        if not self.tells_backslash:
            name = name.replace("\\", "-")
        artifacts.of(b"content").put(store, name)
        assert store.head(name).name == name
        assert names_in(store) == [name]
        assert content_of(store, name) == b"content"
        assert store.artifact_name(store.full_name(name)) == name
        store.delete(name)
        assert names_in(store) == []

    def test_preparing_again_is_harmless(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """Each run asks whether it may write; what is there stays, and nothing is added."""
        artifacts.of(b"x").put(store, "name")
        store.prepare(first=False)
        store.prepare(first=True)
        assert names_in(store) == ["name"]
        assert unfinished_in(store) == []


def spoil(artifact: Artifact, damage: str) -> None:
    """Damage a blob, as a bad disk or a careless person would."""
    if damage == "truncated":
        artifact.blob.write_bytes(artifact.content[:-1])
    elif damage == "flipped":
        flipped = bytes([artifact.content[-1] ^ 1])
        artifact.blob.write_bytes(artifact.content[:-1] + flipped)
    elif damage == "missing":
        artifact.blob.unlink()
    else:
        moved = artifact.blob.rename(artifact.blob.with_suffix(".moved"))
        artifact.blob.symlink_to(moved)
