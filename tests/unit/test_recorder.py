"""Holds the wait before the next attempt to what came of the last one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.place import Place
from tests.uploads import make_upload
from uploader import Spool, clock
from uploader.config import Options
from uploader.drain.active import ActiveUpload
from uploader.drain.recorder import Recorder
from uploader.drain.steps import Answer, Failure, PutPart, Step
from uploader.drain.terms import Deadline
from uploader.errors import ErrorClass
from uploader.model import Part, Receipt, SentPart
from uploader.policy import RetryPolicy
from uploader.state import State
from uploader.store.body import Body
from uploader.store.limits import S3

FAILED_BEFORE = 7


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a spool with a local destination."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


def arrived(place: Place, name: str) -> ActiveUpload:
    """Return an upload that is at the destination, which is not recorded yet."""
    ((upload, item),) = place.spool.ledger.start_all([place.spool.upload(place.put(name, "x"))])
    blob = place.spool.layout.blob_path(upload.id)
    active = ActiveUpload(upload, item, blob, S3, Options())
    active.receipt = Receipt("etag", 1, upload.crc32c, 1.0)
    return active


@pytest.mark.parametrize(("arrives", "in_a_row"), [(True, 1), (False, FAILED_BEFORE + 1)])
def test_a_part_that_arrived_ends_the_row_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrives: bool, in_a_row: int
) -> None:
    """A worker that dies now and then, within a large file, costs its step and no long wait."""
    told: list[int] = []

    def delay(policy: RetryPolicy, error_class: ErrorClass, attempts: int) -> float:
        told.append(attempts)
        return 0.0

    monkeypatch.setattr(RetryPolicy, "delay", delay)
    upload = make_upload(attempts=FAILED_BEFORE, session="session", part_size=5 << 20)
    active = ActiveUpload(upload, {}, "", S3, Options())
    step: Step = PutPart("name", "session", Part(1, 0, 10), Body.of_bytes(b"0123456789"))
    active.in_flight = 1 + arrives
    if arrives:
        active.answered(step, Answer(SentPart(1, 10, "mark")))
    active.answered(step, Answer(failure=Failure(ErrorClass.TRANSIENT, "the worker died")))
    with Spool(tmp_path / "spool", f"file://{tmp_path}/remote") as spool:
        Recorder(spool, RetryPolicy()).settle(active)
    assert told == [in_a_row]


def test_a_blob_may_go_once_the_arrival_is_committed(place: Place) -> None:
    """Some are for whoever removes them beside other work, the rest is removed at once."""
    recorder = Recorder(place.spool, RetryPolicy())
    uploads = [arrived(place, name) for name in ("a", "b", "c")]
    with recorder.together():
        for active in uploads:
            recorder.settle(active)
            assert recorder.unneeded(9) == ()
    assert recorder.unneeded(1) == (uploads[0].blob,)
    recorder.remove_unneeded()
    assert [Path(active.blob).exists() for active in uploads] == [True, False, False]
    assert recorder.unneeded(9) == ()


def test_what_was_not_committed_keeps_its_blob(place: Place) -> None:
    """And does not go with what is committed after it."""
    recorder = Recorder(place.spool, RetryPolicy())
    lost, kept = arrived(place, "lost"), arrived(place, "kept")

    def fail_half_way() -> None:
        with recorder.together():
            recorder.settle(lost)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    with recorder.together():
        recorder.settle(kept)
    assert recorder.unneeded(9) == (kept.blob,)
    assert place.spool.upload(lost.upload.id).state is State.ACTIVE


def test_a_retry_waits_for_a_part_of_the_time_left_at_most(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a deadline it is tried several times, however often it has failed."""
    monkeypatch.setattr(RetryPolicy, "delay", lambda *_: 60.0)
    waits = []
    for name, deadline in (("a", Deadline(clock.monotonic() + 20)), ("b", Deadline())):
        active = arrived(place, name)
        active.receipt = None
        active.failure = Failure(ErrorClass.TRANSIENT, "no answer")
        recorder = Recorder(place.spool, RetryPolicy(), deadline=deadline)
        begun = clock.now()
        with recorder.together():
            recorder.settle(active)
        waits.append(place.spool.upload(active.upload.id).not_before - begun)
    assert 4.0 < waits[0] < 6.0
    assert waits[1] >= 60.0


def test_an_unforeseen_error_is_logged_with_the_upload_and_the_workers_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker does not know which attempt it is: the supervisor logs for it."""
    active = ActiveUpload(make_upload(attempts=2), {}, "", S3, Options())
    step: Step = PutPart("name", "session", Part(1, 0, 10), Body.of_bytes(b"0123456789"))
    failure = Failure(ErrorClass.TRANSIENT, "a bug", trace="Traceback: a bug")
    with caplog.at_level(logging.ERROR, "uploader"):
        Recorder.unforeseen(active, step, failure)
        Recorder.unforeseen(None, step, failure)
    first, second = caplog.records
    assert first.__dict__["upload"] == {
        "upload_id": active.upload.id, "name": "name", "attempt": 3, "error_class": "transient",
    }  # fmt: skip
    assert "PutPart of name" in first.getMessage()
    assert "Traceback: a bug" in first.getMessage()
    assert "upload" not in second.__dict__
