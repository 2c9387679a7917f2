"""Fetching: the spool's own newer copy first, then the destination, at every hop of a symlink."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from tests.place import Place
from uploader import fetch
from uploader.drain.gate import PREPARED
from uploader.errors import DamagedError, ErrorClass, PermanentError, TransientError
from uploader.model import SymlinkMode
from uploader.policy import RetryPolicy
from uploader.readback import get
from uploader.store.alias import MAX_HOPS
from uploader.store.local import LocalStore


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    """A spool with a local destination, and no process that uploads."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


def fetched(place: Place, name: str) -> str:
    """Fetch an artifact and return its text."""
    out = place.folder / "out"
    fetch(place.spool.path, name, out, overwrite=True)
    return out.read_text()


def left_behind(place: Place) -> list[str]:
    """Return the unfinished files beside the fetched one."""
    return [name for name in os.listdir(place.folder) if name.startswith(".uploader-get-")]


def test_an_artifact_that_arrived_comes_from_the_destination(place: Place) -> None:
    """The spool has no bytes of it any more."""
    place.arrive(place.put("one", "1"))
    assert fetched(place, "one") == "1"


def test_a_newer_copy_in_the_spool_goes_before_the_object(place: Place) -> None:
    """What waits to be uploaded is what was logged last."""
    place.arrive(place.put("one", "older"))
    place.put("one", "newer", overwrite=True)
    assert fetched(place, "one") == "newer"


def test_the_bytes_of_a_dead_letter_count(place: Place) -> None:
    """They are what was logged, and are kept for this."""
    place.arrive(place.put("one", "older"))
    place.die(place.put("one", "newer", overwrite=True), ErrorClass.PERMANENT)
    assert fetched(place, "one") == "newer"


def test_a_dead_letter_that_lost_its_name_does_not_count(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The name is somebody else's at the destination; that is read, and said."""
    place.stranger("one", b"theirs")
    upload = place.put("one", "ours")
    place.die(upload, ErrorClass.CONFLICT)
    with caplog.at_level(logging.WARNING, logger="uploader"):
        assert fetched(place, "one") == "theirs"
    assert f"upload {upload}, a dead letter" in caplog.text


def test_what_was_cancelled_does_not_count(place: Place) -> None:
    """A person gave it up."""
    place.arrive(place.put("one", "older"))
    place.spool.cancel(place.put("one", "newer", overwrite=True))
    assert fetched(place, "one") == "older"


def test_a_symlink_that_waits_leads_to_an_object_that_arrived(place: Place) -> None:
    """From the spool into the store."""
    place.arrive(place.put("ep1", "1"))
    place.link("ep1", "latest")
    assert fetched(place, "latest") == "1"


@pytest.mark.parametrize("form", [SymlinkMode.NATIVE, SymlinkMode.POINTER])
def test_a_symlink_that_arrived_leads_to_a_newer_copy_in_the_spool(
    tmp_path: pathlib.Path, form: SymlinkMode
) -> None:
    """From the store back into the spool, whatever form the symlink has there."""
    place = Place(tmp_path, form)
    place.arrive(place.put("ckpt/ep1", "older"))
    place.arrive(place.link("ckpt/ep1", "latest"))
    place.put("ckpt/ep1", "newer", overwrite=True)
    assert fetched(place, "latest") == "newer"
    place.spool.close()


@pytest.mark.parametrize("form", list(SymlinkMode))
def test_every_form_of_symlink_is_followed(tmp_path: pathlib.Path, form: SymlinkMode) -> None:
    """By its name, and by the name with `.symlink`, under which Composer logs it."""
    place = Place(tmp_path, form)
    place.arrive(place.put("ckpt/ep1", "1"))
    place.arrive(place.link("ckpt/ep1", "a/latest"))
    assert fetched(place, "a/latest") == "1"
    assert fetched(place, "a/latest.symlink") == "1"
    place.spool.close()


def test_symlinks_that_form_a_loop_are_an_error(place: Place) -> None:
    """ELOOP, as `open` says; not a hang."""
    place.link("b", "a")
    place.link("a", "b")
    with pytest.raises(OSError, match="a loop") as caught:
        fetched(place, "a")
    assert caught.value.errno == errno.ELOOP


def test_as_many_symlinks_as_linux_follows_are_followed(place: Place) -> None:
    """One more is taken for a loop."""
    place.put("link0", "the end")
    for number in range(1, MAX_HOPS + 2):
        place.link(f"link{number - 1}", f"link{number}")
    assert fetched(place, f"link{MAX_HOPS}") == "the end"
    with pytest.raises(OSError, match="a loop"):
        fetched(place, f"link{MAX_HOPS + 1}")


def test_a_symlink_to_nothing_is_not_found(place: Place) -> None:
    """Both names are in the message."""
    place.store.prepare(first=True)
    place.link("ep1", "latest")
    with pytest.raises(
        FileNotFoundError, match="no artifact ep1, to which latest points, in file:"
    ):
        fetched(place, "latest")


def test_before_the_first_upload_there_is_no_artifact(place: Place) -> None:
    """A destination that is still to be made is no failure: a first start asks, too."""
    with pytest.raises(FileNotFoundError, match="no artifact latest"):
        fetched(place, "latest")


def test_a_destination_that_went_away_is_a_failure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was made once, its absence means a disk that is not mounted."""
    monkeypatch.setattr(get, "try_in_step", lambda request: request())
    place.spool.remembered.put(PREPARED, "1")
    with pytest.raises(TransientError, match="mounted"):
        fetched(place, "latest")


def test_a_damaged_spool_file_is_never_handed_out(place: Place) -> None:
    """The file that is there stays, and nothing is left beside it."""
    upload = place.put("one", "good")
    place.spool.layout.blob(upload).write_text("evil")
    out = place.folder / "out"
    out.write_text("mine")
    with pytest.raises(DamagedError, match="CRC32C"):
        fetch(place.spool.path, "one", out, overwrite=True)
    assert out.read_text() == "mine"
    assert left_behind(place) == []


@pytest.mark.parametrize("content", [b"evil", b"short", b"go"])
def test_a_damaged_object_is_never_handed_out(place: Place, content: bytes) -> None:
    """Flipped in place, grown, or cut off."""
    place.arrive(place.put("one", "good"))
    (place.remote / "one").write_bytes(content)
    with pytest.raises(DamagedError, match="CRC32C"):
        fetched(place, "one")
    assert left_behind(place) == []


def test_an_upload_that_ends_under_the_read_is_looked_up_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blob is gone from the spool, and its object is at the destination."""
    upload = place.put("one", "1")
    in_spool = get._Sources._in_spool
    seen = []

    def ending(self: get._Sources, found: Any) -> Any:
        seen.append(found.id)
        place.arrive(upload)
        return in_spool(self, found)

    monkeypatch.setattr(get._Sources, "_in_spool", ending)
    assert fetched(place, "one") == "1"
    assert seen == [upload]


class Flaky(LocalStore):
    """A store whose reads break off after each portion, as often as told."""

    breaks = 0
    portion = 3
    offsets: list[int]

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Yield a portion, then fail."""
        self.offsets.append(offset)
        whole = b"".join(super().read(name, offset))
        if len(self.offsets) <= self.breaks:
            if self.portion:
                yield whole[: self.portion]
            raise TransientError("connection reset")
        yield whole


@pytest.fixture
def flaky(place: Place, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    """Put it in place of the destination's store, without waits."""
    store = Flaky(str(place.remote))
    store.offsets = []
    monkeypatch.setattr(get, "open_store", lambda url: store)
    monkeypatch.setattr(RetryPolicy, "delay", lambda *arguments: 0.0)
    return store


def test_a_read_that_breaks_off_goes_on_where_it_was(place: Place, flaky: Flaky) -> None:
    """Also more often than is borne in a row, since each time something came."""
    flaky.breaks = get.READ_FAILURES + 2
    place.arrive(place.put("one", "0123456789" * 3))
    assert fetched(place, "one") == "0123456789" * 3
    assert flaky.offsets == [3 * number for number in range(flaky.breaks + 1)]


def test_a_read_that_gets_nowhere_is_given_up(place: Place, flaky: Flaky) -> None:
    """After a few failures in a row; no file is made."""
    flaky.breaks, flaky.portion = 100, 0
    place.arrive(place.put("one", "0123456789"))
    with pytest.raises(TransientError, match="connection reset"):
        fetched(place, "one")
    assert flaky.offsets == [0] * get.READ_FAILURES
    assert not (place.folder / "out").exists()


def test_an_existing_file_is_kept_unless_overwritten(place: Place) -> None:
    """A dangling symlink in its place is kept as well."""
    place.put("one", "1")
    out = place.folder / "out"
    out.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        fetch(place.spool.path, "one", out)
    fetch(place.spool.path, "one", out, overwrite=True)
    assert (out.read_text(), out.is_symlink()) == ("1", False)


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    """The check at the start is not the one that decides."""
    place.put("one", "1")
    out = place.folder / "out"

    def no_link(*arguments: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(OSError, match=r"exists|no hard links"):
        fetch(place.spool.path, "one", out, progress=lambda *sizes: put_there(out))
    assert out.read_text() == "somebody else's"
    assert left_behind(place) == []


def put_there(path: pathlib.Path) -> None:
    """Be another process that writes to the same place."""
    path.write_text("somebody else's")


def test_without_hard_links_the_file_still_gets_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On FAT and on some FUSE mounts."""

    def no_link(*arguments: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_link)
    place.put("one", "1")
    fetch(place.spool.path, "one", place.folder / "out")
    assert (place.folder / "out").read_text() == "1"
    assert left_behind(place) == []


def test_the_file_is_an_ordinary_one_with_its_progress_told(place: Place) -> None:
    """Its mode follows the umask; in a directory it takes the name's last segment."""
    place.put("ckpt/one", bytes(3 << 20))
    told: list[tuple[int, int]] = []
    before = os.umask(0o027)
    try:
        fetch(
            place.spool.path, "ckpt/one", place.folder,
            progress=lambda sent, total: told.append((sent, total)),
        )  # fmt: skip
    finally:
        os.umask(before)
    assert stat.S_IMODE((place.folder / "one").stat().st_mode) == 0o640
    assert told[-1] == (3 << 20, 3 << 20)
    assert told == sorted(told)


def test_a_bad_name_is_a_value_error(place: Place) -> None:
    """Nothing outside of the destination can be asked for."""
    with pytest.raises(ValueError, match=r"contains '\.\.'"):
        fetched(place, "../secret")


def test_a_planted_pointer_leads_nowhere_outside(place: Place) -> None:
    """A symlink object written by somebody else cannot name a file of this machine."""
    place.store.prepare(first=True)
    secret = place.folder / "secret"
    secret.write_text("secret")
    (place.remote / "up").symlink_to("../secret")
    (place.remote / "absolute").symlink_to(secret)
    (place.remote / "pointer.symlink").write_text("../secret")
    for name in ("up", "absolute", "pointer"):
        with pytest.raises(PermanentError):
            fetched(place, name)
        assert not (place.folder / "out").exists()
