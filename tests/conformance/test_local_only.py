"""Hold the local store to what only a file system can do wrong."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from uploader.errors import ConflictError, NotFoundError, PermanentError, TransientError
from uploader.model import PutMode
from uploader.store import alias
from uploader.store.local import LocalStore
from uploader.store.local_files import ATTRIBUTE, claim_text, temporary_name
from uploader.store.testing.given import MTIME, Artifacts, content_of, names_in, unfinished

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Make what is put."""
    return Artifacts(tmp_path / "blobs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the destination."""
    return tmp_path / "remote"


@pytest.fixture
def store(root: Path) -> LocalStore:
    """Return a store on a directory that is there."""
    store = LocalStore(str(root))
    store.prepare(first=True)
    return store


@pytest.fixture
def mounted(root: Path) -> Iterator[Callable[..., LocalStore]]:
    """Mount a file system of the test's own at the destination; only root may."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root; the conformance suite runs on the usual file system")
    mounts: list[Path] = []

    def mount(kind: str, options: str = "defaults") -> LocalStore:
        root.mkdir()
        subprocess.run(["mount", "-t", kind, "-o", options, "none", root], check=True)
        mounts.append(root)
        return LocalStore(str(root))

    yield mount
    for place in mounts:
        subprocess.run(["umount", "--lazy", place], check=True)  # also if a test failed inside it


# -- nothing outside the root ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", PutMode)
def test_a_planted_directory_symlink_is_no_way_out(
    store: LocalStore, root: Path, artifacts: Artifacts, tmp_path: Path, mode: PutMode
) -> None:
    """Writing, reading and removing below it are refused; what is outside stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "name").write_text("not ours")
    (root / "way").symlink_to(outside)
    for deed in (
        lambda: artifacts.of(b"x").put(store, "way/name", mode),
        lambda: artifacts.of(b"x").begin(store, "way/new", mode),
        lambda: store.head("way/name"),
        lambda: list(store.read("way/name")),
        lambda: store.delete("way/name"),
    ):
        with pytest.raises(PermanentError) as raised:
            deed()
        assert not isinstance(raised.value, NotFoundError)
    assert [path.read_text() for path in outside.iterdir()] == ["not ours"]


def test_a_planted_file_symlink_is_replaced_and_never_written_through(
    store: LocalStore, root: Path, artifacts: Artifacts, tmp_path: Path
) -> None:
    """With overwrite the link goes; without it, it counts as existing; it is not read either."""
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    (root / "name").symlink_to(outside)
    with pytest.raises(ConflictError):
        artifacts.of(b"x").put(store, "name")
    with pytest.raises(PermanentError):
        list(store.read("name"))
    with pytest.raises(PermanentError):
        alias.resolve(store, "name")
    artifacts.of(b"x").put(store, "name", OVERWRITE)
    assert not (root / "name").is_symlink()
    assert outside.read_text() == "not ours"


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", ".."])
def test_two_dots_lead_nowhere(store: LocalStore, artifacts: Artifacts, name: str) -> None:
    """Names are checked long before; the store does not rely on it."""
    for deed in (
        lambda: artifacts.of(b"x").put(store, name),
        lambda: store.head(name),
        lambda: list(store.read(name)),
        lambda: store.delete(name),
        lambda: artifacts.of(b"x").begin(store, name),
    ):
        with pytest.raises(PermanentError, match="leads out of"):
            deed()


def test_a_name_of_an_unfinished_upload_is_refused(store: LocalStore, artifacts: Artifacts) -> None:
    """It would be hidden from listings, and swept; a name that only begins like it is fine."""
    with pytest.raises(PermanentError, match="would be swept"):
        artifacts.of(b"x").put(store, "a/" + temporary_name("0" * 32))
    artifacts.of(b"x").put(store, ".uploader-notes")
    assert unfinished(store) == []
    assert names_in(store) == [".uploader-notes"]


@pytest.mark.parametrize("mode", PutMode)
def test_a_directory_in_the_place_of_a_name_is_an_error(
    store: LocalStore, artifacts: Artifacts, mode: PutMode
) -> None:
    """And so is a file in the place of a directory; neither is replaced."""
    artifacts.of(b"kept").put(store, "a/name")
    for name in ("a", "a/name/below"):
        with pytest.raises(PermanentError):
            artifacts.of(b"x").put(store, name, mode)
    assert content_of(store, "a/name") == b"kept"
    assert unfinished(store) == []


def test_a_segment_too_long_for_the_file_system_is_permanent(
    store: LocalStore, artifacts: Artifacts
) -> None:
    """S3 would take it; the file system never will, so it is not tried again."""
    with pytest.raises(PermanentError, match="too long"):
        artifacts.of(b"x").put(store, "n" * 256)


# -- file systems that lack something -------------------------------------------------------------


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take hard links away: FAT and most FUSE mounts have none, and few machines can mount one."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_create_still_never_replaces(
    store: LocalStore, artifacts: Artifacts
) -> None:
    """The name is claimed with O_EXCL; the same upload again is still success."""
    first = artifacts.of(b"first")
    for _ in range(2):
        first.put(store, "name")
    with pytest.raises(ConflictError):
        artifacts.of(b"other").put(store, "name")
    assert content_of(store, "name") == b"first"
    assert unfinished(store) == []


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_a_race_has_one_winner(store: LocalStore, artifacts: Artifacts) -> None:
    """O_EXCL decides, as `link` does elsewhere."""
    with ThreadPoolExecutor(8) as racers:
        for number in range(10):
            entries = [artifacts.of(bytes([number, racer])) for racer in range(8)]

            def won(racer: int, name: str = f"{number}", entries: Any = entries) -> bool:
                try:
                    entries[racer].put(store, name)
                except ConflictError:
                    return False
                return True

            outcome = list(racers.map(won, range(8)))
            assert outcome.count(True) == 1
            assert content_of(store, f"{number}") == entries[outcome.index(True)].content


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_a_killed_upload_knows_its_own_claim(
    store: LocalStore, root: Path, artifacts: Artifacts
) -> None:
    """It goes on; another upload does not take it for a free name; giving up frees the name."""
    killed = artifacts.of(b"killed after its claim")
    (root / "name").write_bytes(claim_text(killed.upload_id))
    with pytest.raises(ConflictError):
        artifacts.of(b"other").put(store, "name")
    killed.put(store, "name")
    assert content_of(store, "name") == b"killed after its claim"
    (root / "given-up").write_bytes(claim_text(killed.upload_id))
    killed.abort(store, "given-up", None)
    assert names_in(store) == ["name"]


def test_without_attributes_a_retry_knows_its_own_object_by_its_bytes(
    mounted: Callable[..., LocalStore], artifacts: Artifacts
) -> None:
    """The RAM file system has no user attributes: size and checksum say whose it is."""
    store = mounted("ramfs")
    first = artifacts.of(b"first")
    first.put(store, "name")
    assert store.head("name").upload_id is None
    first.put(store, "name")
    store.copy("name", "copy", CREATE, first.meta)
    store.copy("name", "copy", CREATE, first.meta)
    with pytest.raises(ConflictError):
        artifacts.of(b"other").put(store, "name")
    assert content_of(store, "name") == content_of(store, "copy") == b"first"


def test_equal_bytes_of_a_stranger_are_not_ours_where_attributes_can_tell(
    store: LocalStore, root: Path, artifacts: Artifacts
) -> None:
    """A file that somebody copied there by hand keeps its name."""
    root.joinpath("name").write_bytes(b"equal")
    with pytest.raises(ConflictError):
        artifacts.of(b"equal").put(store, "name")


# -- faults of the destination --------------------------------------------------------------------


def test_a_full_destination_is_transient_and_left_clean(
    mounted: Callable[..., LocalStore], artifacts: Artifacts
) -> None:
    """Somebody will make room; until then the unfinished bytes must not take what is left."""
    store = mounted("tmpfs", "size=4m")
    large = artifacts.of(b"x" * (6 << 20))
    for deed in (large.put, large.begin):
        with pytest.raises(TransientError, match="No space left"):
            deed(store, "large")
        assert unfinished(store) == []
    fits = artifacts.of(b"y" * (3 << 20))
    fits.put(store, "small")
    with pytest.raises(TransientError, match="No space left"):
        store.copy("small", "copy", CREATE, large.meta)
    assert unfinished(store) == []
    assert names_in(store) == ["small"]


def test_a_root_that_went_away_is_transient_and_never_made_again(
    store: LocalStore, root: Path, artifacts: Artifacts
) -> None:
    """An unmounted file system: to write into its mount point would hide the artifact."""
    root.rmdir()
    for deed in (
        lambda: artifacts.of(b"x").put(store, "name"),
        lambda: artifacts.of(b"x").begin(store, "name"),
        lambda: store.head("name"),
    ):
        with pytest.raises(TransientError, match="is its file system mounted"):
            deed()
    with pytest.raises(PermanentError, match="is its file system mounted"):
        store.prepare(first=False)
    assert not root.exists()


def test_a_destination_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """At once, and with its path."""
    path = tmp_path / "file"
    path.write_text("x")
    for first in (True, False):
        with pytest.raises(PermanentError, match=f"cannot write to destination {path}"):
            LocalStore(str(path)).prepare(first=first)


# -- what is written, and in which order ----------------------------------------------------------


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the calls that make things durable or visible, in their order."""
    notes: list[str] = []

    def noted(call: str) -> Callable[..., Any]:
        real: Callable[..., Any] = getattr(os, call)

        def note(*args: Any, **kwargs: Any) -> Any:
            what = call
            if call in ("fsync", "fdatasync"):
                what += " directory" if os.path.isdir(f"/proc/self/fd/{args[0]}") else " file"
            notes.append(what)
            return real(*args, **kwargs)

        return note

    for call in ("fsync", "fdatasync", "link", "rename", "mkdir", "symlink", "write", "pwrite"):
        monkeypatch.setattr(os, call, noted(call))
    return notes


def test_an_object_is_durable_before_it_is_visible(
    store: LocalStore, artifacts: Artifacts, diary: list[str]
) -> None:
    """Bytes, fsync, name, fsync of the directory: any other order can lose or show half of it."""
    artifacts.of(b"x").put(store, "created")
    assert diary == ["write", "fsync file", "link", "fsync directory"]
    diary.clear()
    artifacts.of(b"x").put(store, "replaced", OVERWRITE)
    assert diary == ["write", "fsync file", "rename", "fsync directory"]


def test_a_new_directory_is_durable_before_anything_is_in_it(
    store: LocalStore, artifacts: Artifacts, diary: list[str]
) -> None:
    """Else a power loss takes the directory, with the object that was acknowledged."""
    artifacts.of(b"x").put(store, "new/name")
    assert diary[:3] == ["mkdir", "fsync directory", "write"]


def test_a_part_is_durable_before_it_is_answered(
    store: LocalStore, artifacts: Artifacts, diary: list[str]
) -> None:
    """What is recorded as sent is never sent again, so it has to be on the disk."""
    artifact, parts = artifacts.for_parts(store)
    session = artifact.begin(store, "large")
    assert diary == ["fsync file", "fsync directory"]
    diary.clear()
    sent = [artifact.send(store, "large", session, part) for part in parts]
    assert diary[-2:] == ["pwrite", "fdatasync file"]
    assert diary.count("fdatasync file") == 3
    diary.clear()
    artifact.complete(store, "large", session, sent)
    assert diary == ["fsync file", "link", "fsync directory"]


def test_a_symlink_is_replaced_in_one_step(
    store: LocalStore, artifacts: Artifacts, diary: list[str]
) -> None:
    """There is no moment at which `latest` is missing."""
    meta = artifacts.of(b"").meta
    store.symlink("1", "latest", CREATE, meta)
    diary.clear()
    store.symlink("2", "latest", OVERWRITE, meta)
    assert diary == ["symlink", "rename", "fsync directory"]


def test_an_object_carries_what_is_known_of_it(
    store: LocalStore, root: Path, artifacts: Artifacts
) -> None:
    """Upload, checksum, run and rank as attributes; the source's time as its time."""
    artifact = artifacts.of(b"content")
    artifact.put(store, "name")
    path = root / "name"
    assert path.stat().st_mtime == MTIME
    attributes = {key: os.getxattr(path, key).decode() for key in os.listxattr(path)}
    assert attributes == {
        ATTRIBUTE + "upload_id": artifact.upload_id,
        ATTRIBUTE + "crc32c": f"{artifact.meta.crc32c:08x}",
        ATTRIBUTE + "run": "run",
        ATTRIBUTE + "rank": "3",
    }


def test_a_native_symlink_is_relative(store: LocalStore, root: Path, artifacts: Artifacts) -> None:
    """The tree can be moved, or mounted elsewhere, as a whole."""
    artifacts.of(b"x").put(store, "a/b/target")
    store.symlink("a/b/target", "a/c/link", CREATE, artifacts.of(b"").meta)
    moved = root.rename(root.with_name("moved"))
    assert (moved / "a/c/link").read_bytes() == b"x"
    assert os.readlink(moved / "a/c/link") == "../b/target"
