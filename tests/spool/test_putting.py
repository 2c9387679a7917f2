"""Hold the way of an artifact into the spool: the snapshot, the limits, the waiting."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.place import Place
from uploader import Spool, SpoolFullError, UploadFailedError
from uploader.checksum import BlockChecksums, crc32c, unpack
from uploader.errors import ErrorClass
from uploader.spool import capacity, staging
from uploader.state import State

MIB = 1 << 20
PATIENCE = 30.0  #: seconds that a test waits for another thread


def blob_of(place: Place, upload_id: str) -> bytes:
    """Return the spooled bytes."""
    return place.spool.layout.blob(upload_id).read_bytes()


@pytest.mark.parametrize("change", ["written", "truncated", "replaced", "deleted"])
def test_what_is_spooled_is_the_file_as_it_was(place: Place, source: Path, change: str) -> None:
    """Whatever becomes of the source after the call."""
    upload_id = place.spool.put_file("name", source)
    if change == "written":
        source.write_bytes(b"CONTENT")
    elif change == "truncated":
        os.truncate(source, 0)
    elif change == "replaced":
        source.with_name("newer").write_bytes(b"newer")
        os.replace(source.with_name("newer"), source)
    else:
        source.unlink()
    assert blob_of(place, upload_id) == b"content"


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 7])
def test_a_copy_has_the_checksums_of_its_source(place: Place, source: Path, size: int) -> None:
    """Of the whole, in the ledger; of each block, with the item."""
    content = os.urandom(size)
    source.write_bytes(content)
    upload_id = place.spool.put_file("name", source, run="run", rank=3)
    upload = place.spool.upload(upload_id)
    assert (upload.size, upload.crc32c) == (size, crc32c(content))
    assert (upload.run, upload.rank) == ("run", 3)
    assert upload.source_mtime == pytest.approx(source.stat().st_mtime)
    ((_, item),) = place.spool.ledger.start_all([upload])
    sums = BlockChecksums(size)
    sums.update(content)
    assert (unpack(item["blocks"]), item["block"]) == (sums.blocks, sums.block)
    assert blob_of(place, upload_id) == content


def test_the_steps_are_in_the_order_that_survives_a_power_loss(
    place: Place, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, their fsync, the name, the directory's fsync, the row, and only then the unlink."""
    older = place.put("name", "older", overwrite=True)
    steps: list[str] = []

    def note(owner: Any, name: str, said: str) -> None:
        real = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            steps.append(said)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)

    note(staging, "_copy", "copy")
    note(os, "fsync", "fsync")
    note(os, "rename", "rename")
    note(place.spool._journal, "put", "commit")
    note(os, "unlink", "unlink")
    place.spool.put_file("name", source, overwrite=True)
    in_order = ["copy", "fsync", "rename", "fsync", "commit"]
    assert steps[: len(in_order)] == in_order
    assert set(steps[len(in_order) :]) == {"unlink"}
    assert not place.spool.layout.blob(older).exists()


def test_a_pending_name_is_refused_at_once_and_an_ended_one_is_not(place: Place) -> None:
    """Without overwrite; what is at the destination is for the store to know."""
    upload_id = place.put("name", "1")
    with pytest.raises(FileExistsError, match="already enqueued and overwrite=False"):
        place.put("name", "2")
    with pytest.raises(FileExistsError):
        place.link("other", "name")
    assert len(list(place.spool.layout.blobs.glob("*/*"))) == 1
    place.arrive(upload_id)
    place.put("name", "2")


def test_a_refusal_at_the_commit_leaves_no_copy_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another rank was faster, between the first look and the commit."""
    place.put("name", "1")
    monkeypatch.setattr(place.spool, "_refuse_pending", lambda *_, **__: None)
    with pytest.raises(FileExistsError, match="already enqueued"):
        place.put("name", "2")
    assert len(list(place.spool.layout.blobs.glob("*/*"))) == 1
    assert list(place.spool.layout.staging.iterdir()) == []


def test_a_file_that_ends_in_symlink_is_spooled_as_one(place: Place, source: Path) -> None:
    """As later Composer versions log it; its text is the target."""
    place.put("target", "x")
    source.write_text("target\n")
    upload = place.spool.upload(place.spool.put_file("latest.symlink", source))
    assert (upload.kind.value, upload.name, upload.target) == ("symlink", "latest", "target")
    assert upload.size is None


# -- limits ---------------------------------------------------------------------------------------


def limited(place: Place, **limits: Any) -> Spool:
    """Open the same spool with limits; they are remembered."""
    return Spool(place.spool.path, producer=False, **limits)


def test_the_limit_counts_what_waits_and_what_is_dead(place: Place, source: Path) -> None:
    """What has ended gives its room back; one byte more than the limit is too much."""
    with limited(place, max_bytes=2 * len(b"content")) as spool:
        first, second = (spool.put_file(name, source) for name in "ab")
        with pytest.raises(SpoolFullError, match="14 bytes wait in it, 7 more would pass"):
            spool.put_file("c", source)
        place.die(first, ErrorClass.PERMANENT)
        with pytest.raises(SpoolFullError):
            spool.put_file("c", source)
        place.arrive(second)
        spool.put_file("c", source)
        assert list(spool.layout.staging.iterdir()) == []


def test_a_newer_version_fits_in_the_room_of_the_one_it_replaces(
    place: Place, source: Path
) -> None:
    """A log that is flushed again and again does not fill a spool that holds it once."""
    with limited(place, max_bytes=len(b"content")) as spool:
        for _ in range(3):
            spool.put_file("log", source, overwrite=True)
        with pytest.raises(SpoolFullError):
            spool.put_file("another", source, overwrite=True)
        assert [upload.name for upload in spool.pending()] == ["log"]


def test_limits_are_remembered(place: Place, source: Path) -> None:
    """The next process need not know them; zero is a limit too."""
    limited(place, max_bytes=5, min_free_bytes=0).close()
    with limited(place) as spool:
        assert spool.capacity.min_free_bytes == 0
        with pytest.raises(SpoolFullError, match="limit is 5 in all"):
            spool.put_file("a", source)


def test_the_disk_keeps_room_for_everything_else(place: Place, source: Path) -> None:
    """With what it has, what it would have, and what to do."""
    with (
        limited(place, min_free_bytes=1 << 62) as spool,
        pytest.raises(SpoolFullError, match=r"its disk has \d+ bytes free.*uploader drain"),
    ):
        spool.put_file("a", source)


class _Blocked:
    """A put with `when_full="block"` in a thread, which a test lets look again."""

    def __init__(
        self, place: Place, source: Path, monkeypatch: pytest.MonkeyPatch, limit: int
    ) -> None:
        self.waits: queue.Queue[float] = queue.Queue()
        self._go_on: queue.Queue[None] = queue.Queue()
        self.spool = limited(place, max_bytes=limit, when_full="block")
        monkeypatch.setattr("uploader.spool.capacity.time.sleep", self._sleep)
        self.ids: list[str] = []
        self._thread = threading.Thread(
            target=lambda: self.ids.append(self.spool.put_file("blocked", source)), daemon=True
        )

    def start(self) -> None:
        """Begin, and wait until it waits."""
        self._thread.start()
        self.waits.get(timeout=PATIENCE)

    def look_again(self) -> None:
        self._go_on.put(None)

    def end(self) -> None:
        self._thread.join(PATIENCE)
        self.spool.close()

    def _sleep(self, seconds: float) -> None:
        self.waits.put(seconds)
        self._go_on.get(timeout=PATIENCE)


def test_a_blocked_put_gets_through_once_there_is_room(
    place: Place, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It looks again and again, says why it waits, and is then an upload like any other."""
    waiting = place.spool.put_file("first", source)
    blocked = _Blocked(place, source, monkeypatch, limit=10)
    blocked.start()
    blocked.look_again()
    assert blocked.waits.get(timeout=PATIENCE) > 0  # still no room
    place.spool.cancel(waiting)
    blocked.look_again()
    blocked.end()
    assert place.spool.upload(blocked.ids[0]).state is State.READY
    assert blob_of(place, blocked.ids[0]) == b"content"
    assert "waiting for room in the spool" in caplog.text


def test_a_blocked_put_waits_again_if_another_took_the_room(
    place: Place, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look found room, the commit did not: with `block` that is no error either."""
    waiting = place.spool.put_file("first", source)
    blocked = _Blocked(place, source, monkeypatch, limit=10)
    real, looks = capacity.Capacity.lack, iter([None])
    monkeypatch.setattr(
        capacity.Capacity,
        "lack",
        lambda self, size, replaces=None: next(looks, real(self, size, replaces)),
    )
    blocked.start()
    assert len(list(place.spool.layout.blobs.glob("*/*"))) == 1
    place.spool.cancel(waiting)
    blocked.look_again()
    blocked.end()
    assert blob_of(place, blocked.ids[0]) == b"content"


# -- waiting for the end --------------------------------------------------------------------------


def test_wait_returns_what_arrived_or_was_replaced(place: Place) -> None:
    """With its receipt; a superseded one says so by its state."""
    older = place.put("name", "1", overwrite=True)
    newer = place.put("name", "2", overwrite=True)
    place.arrive(newer)
    receipt = place.spool.wait(newer).receipt
    assert receipt
    assert receipt.size == 1
    assert place.spool.wait(older).state is State.SUPERSEDED


def test_wait_raises_what_will_not_arrive(place: Place) -> None:
    """A dead letter with its reason, a cancelled one, one that never was."""
    dead, cancelled = place.put("dead", "x"), place.put("cancelled", "x")
    place.die(dead, ErrorClass.CONFLICT)
    place.spool.cancel(cancelled)
    with pytest.raises(UploadFailedError, match="dead is dead: said the store"):
        place.spool.wait(dead)
    with pytest.raises(UploadFailedError, match="cancelled by a person"):
        place.spool.wait(cancelled)
    with pytest.raises(KeyError):
        place.spool.wait("0" * 32)


def test_wait_has_an_end(place: Place) -> None:
    """After the timeout it says where the upload is."""
    upload_id = place.put("name", "x")
    for timeout in (0, 0.05):
        with pytest.raises(TimeoutError, match="name is still ready"):
            place.spool.wait(upload_id, timeout)


def test_wait_sees_an_end_that_another_process_wrote(place: Place) -> None:
    """It looks into the database, not into memory."""
    upload_id = place.put("name", "x")
    ended: list[State] = []
    follower = limited(place)
    thread = threading.Thread(
        target=lambda: ended.append(follower.wait(upload_id, PATIENCE).state), daemon=True
    )
    thread.start()
    place.arrive(upload_id)
    thread.join(PATIENCE)
    follower.close()
    assert ended == [State.DONE]


def test_changed_tells_of_other_processes_only(place: Place) -> None:
    """The supervisor looks at its ledger when somebody else wrote to it."""
    place.spool.changed()
    place.put("own", "x")
    assert not place.spool.changed()
    with limited(place) as other:
        other.put_symlink("own", "link")
    assert place.spool.changed()
    assert not place.spool.changed()
