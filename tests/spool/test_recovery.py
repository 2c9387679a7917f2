"""Hold recovery to what it may remove, and retention to what it must keep."""

from __future__ import annotations

import os

import pytest

from tests.place import Place
from uploader import clock
from uploader.errors import ErrorClass
from uploader.spool import staging
from uploader.spool.recovery import Recovered, recover
from uploader.spool.retention import KEEP_OTHERS, reap
from uploader.state import State

DEAD_ID = "d" * 32
DAY = 86400.0


def recovered(place: Place) -> Recovered:
    """Do what the next supervisor does first."""
    return recover(place.spool.layout, place.spool.ledger)


def test_recovery_puts_back_what_was_active(place: Place) -> None:
    """With the parts that the store has; it does not count as a failed attempt."""
    upload_id = place.put("name", "content")
    ((upload, _),) = place.spool.ledger.start_all([place.spool.upload(upload_id)])
    place.spool.ledger.record_session(upload.seq, "session", 1 << 20)
    assert recovered(place) == Recovered(put_back=1, swept=0)
    after = place.spool.upload(upload_id)
    assert (after.state, after.session, after.attempts) == (State.READY, "session", 0)
    assert recovered(place) == Recovered(put_back=0, swept=0)
    place.arrive(upload_id)


def test_recovery_sweeps_the_copy_of_a_dead_process(place: Place) -> None:
    """Nobody holds it, and no row will ever name it."""
    staged = place.spool.layout.staged(DEAD_ID)
    staged.write_bytes(b"half a fi")
    assert recovered(place).swept == 1
    assert not staged.exists()


def test_recovery_keeps_the_copy_of_a_live_process(place: Place) -> None:
    """Whether it is still in staging or waits for its commit in its place."""
    layout = place.spool.layout
    held = staging._create_locked(os.fspath(layout.staged(DEAD_ID)))
    assert recovered(place).swept == 0
    os.rename(layout.staged(DEAD_ID), layout.blob(DEAD_ID))
    assert recovered(place).swept == 0
    assert layout.blob(DEAD_ID).exists()
    os.close(held)
    assert recovered(place).swept == 1


def test_recovery_sweeps_a_blob_no_row_names(place: Place) -> None:
    """And one whose upload has ended; those of what waits or is dead stay."""
    ends = {name: place.put(name, name) for name in ("waits", "dead", "done", "cancelled")}
    place.die(ends["dead"], ErrorClass.PERMANENT)
    place.arrive(ends["done"])
    place.spool.cancel("cancelled")
    layout = place.spool.layout
    for upload_id in (ends["done"], ends["cancelled"], DEAD_ID):
        layout.blob(upload_id).write_bytes(b"left by a kill before its unlink")
    assert recovered(place).swept == 3
    left = {path.name for path in layout.blobs.glob("*/*")}
    assert left == {ends["waits"], ends["dead"]}


def test_recovery_leaves_alone_what_is_not_of_the_spool(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be somebody's; it is named, so that a person can look."""
    layout = place.spool.layout
    strangers = [layout.staging / "notes", layout.blobs / "README", layout.blobs / "ab" / "x.txt"]
    for path in strangers:
        path.write_text("somebody's")
    planted = layout.blobs / "cd" / DEAD_ID
    planted.symlink_to(strangers[0])
    assert recovered(place).swept == 0
    assert all(path.exists() for path in (*strangers, planted))
    for path in (*strangers, planted):
        assert str(path) in caplog.text


# -- retention ------------------------------------------------------------------------------------


def rows(place: Place) -> list[str]:
    """Return the names of the rows that are left."""
    return [upload.name for upload in place.spool.uploads()]


def test_finished_uploads_are_forgotten_after_their_time(place: Place) -> None:
    """Superseded and cancelled ones after a day; done ones later; the rest never."""
    for name in ("done", "dead"):
        place.put(name, name)
    place.arrive(place.spool.uploads(name_glob="done")[0].id)
    place.die(place.spool.uploads(name_glob="dead")[0].id, ErrorClass.PERMANENT)
    place.put("waits", "1", overwrite=True)
    place.put("waits", "2", overwrite=True)
    place.put("cancelled", "x")
    place.spool.cancel("cancelled")
    now = clock.now()
    assert reap(place.spool.ledger, now + KEEP_OTHERS - 60, 30 * DAY) == 0
    assert reap(place.spool.ledger, now + KEEP_OTHERS + 60, 30 * DAY) == 2
    assert rows(place) == ["done", "dead", "waits"]
    assert reap(place.spool.ledger, now + 30 * DAY + 60, 30 * DAY) == 1
    assert reap(place.spool.ledger, now + 1000 * DAY, 30 * DAY) == 0
    assert rows(place) == ["dead", "waits"]
    assert place.spool.ledger.tally()[State.DONE] == (1, 4)  # counted over the spool's life


def test_retention_keeps_what_the_retry_of_an_older_dead_letter_must_see(place: Place) -> None:
    """Else the retry would put the old version over the newer one."""
    older = place.put("name", "1")
    place.die(older, ErrorClass.PERMANENT)
    place.arrive(place.put("name", "2", overwrite=True))
    assert reap(place.spool.ledger, clock.now() + 1000 * DAY, 30 * DAY) == 0
    (ended,) = place.spool.retry(older)
    assert ended.state is State.SUPERSEDED
    assert reap(place.spool.ledger, clock.now() + 1000 * DAY, 30 * DAY) == 2


def test_many_rows_are_reaped_in_batches(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, with producers let in between."""
    monkeypatch.setattr("uploader.spool.retention.BATCH", 3)
    for number in range(8):
        place.put(f"{number}", "x")
    place.spool.cancel(all=True)
    assert reap(place.spool.ledger, clock.now() + 2 * DAY, 30 * DAY) == 8
    assert rows(place) == []
