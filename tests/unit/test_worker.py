"""Hold a worker to what it answers to a batch: each step for itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from uploader.drain.steps import Answer, Batch, Failure, answers_in
from uploader.drain.worker import WIDEST, Worker
from uploader.errors import AuthError, ErrorClass, PermanentError, ThrottledError
from uploader.place import Place
from uploader.store.base import ObjectStore

STEPS = 2 * WIDEST


@dataclass(frozen=True)
class Say:
    """Answers with a number, or fails."""

    number: int
    error: Exception | None = None
    size: int = 0

    def perform(self, store: ObjectStore) -> int:
        """Return the number."""
        if self.error:
            raise self.error
        return self.number


@dataclass(frozen=True)
class Meet:
    """Waits for others: passes only if so many steps are under way at a time."""

    barrier: threading.Barrier
    size: int = 0

    def perform(self, store: ObjectStore) -> int:
        """Return how many there were."""
        self.barrier.wait(10)
        return self.barrier.parties


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return a worker of a directory."""
    return Worker(Place.of(tmp_path.as_uri()))


def all_of(worker: Worker, *steps: Say | Meet) -> list[Answer]:
    """Have a batch done."""
    return answers_in(worker.answer(Batch(tuple(steps))), len(steps))


@pytest.mark.parametrize("width", [1, WIDEST])
def test_each_step_of_a_batch_is_answered_in_its_place(worker: Worker, width: int) -> None:
    """One that fails changes nothing for the others."""
    worker._width = width
    failing = Say(2, PermanentError("refused"))
    answers = all_of(worker, Say(1), failing, *(Say(number) for number in range(3, STEPS)))
    assert [one.value for one in answers] == [1, None, *range(3, STEPS)]
    assert answers[1].failure
    assert answers[1].failure.error_class is ErrorClass.PERMANENT


def test_without_credentials_the_rest_of_a_batch_is_not_tried(worker: Worker) -> None:
    """It would fail as well; afterwards a new store has a new client."""
    all_of(worker, Say(1), Say(2))
    before = worker._store
    answers = all_of(worker, Say(1), Say(2, AuthError("expired")), Say(3))
    assert [one.failure and one.failure.error for one in answers] == [None, "expired", None]
    assert [one.untried for one in answers] == [False, False, True]
    assert worker.answer(Say(4)).value == 4
    assert worker._store is not before


def test_a_service_that_asks_for_less_is_not_sent_the_rest_of_a_batch(worker: Worker) -> None:
    """The supervisor hands it out again, with fewer at a time; no attempt is used up for it."""
    answers = all_of(worker, Say(1), Say(2, ThrottledError("SlowDown")), Say(3), Say(4))
    assert [one.untried for one in answers] == [False, False, True, True]
    assert answers[1].failure
    assert [one.value for one in all_of(worker, Say(5), Say(6))] == [5, 6]


def test_a_batch_that_mostly_waits_is_done_several_at_a_time(worker: Worker) -> None:
    """And one by one again when the service is quick."""
    for _ in range(5):
        worker._adapt(seconds=1.6, cpu=0.03, count=32)
    together = Meet(threading.Barrier(WIDEST))
    assert [one.value for one in all_of(worker, *[together] * WIDEST)] == [WIDEST] * WIDEST
    for _ in range(5):
        worker._adapt(seconds=0.03, cpu=0.02, count=32)
    assert worker._width == 1


def test_a_busy_machine_is_not_taken_for_a_slow_service(worker: Worker) -> None:
    """Steps that take under two milliseconds each gain nothing by threads."""
    worker._adapt(seconds=0.05, cpu=0.01, count=32)
    assert worker._width == 1


def test_blobs_that_are_not_needed_any_more_are_gone_with_the_answer(
    worker: Worker, tmp_path: Path
) -> None:
    """One that another process has swept already is no fault."""
    unneeded = [tmp_path / name for name in ("one", "swept", "two")]
    for path in unneeded:
        path.write_bytes(b"bytes")
    unneeded[1].unlink()
    answer = worker.answer(Batch((Say(1), Say(2)), tuple(map(str, unneeded))))
    assert [one.value for one in answers_in(answer, 2)] == [1, 2]
    assert not any(path.exists() for path in unneeded)


def test_a_blob_that_cannot_be_removed_is_named_and_stops_nothing(
    worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweep meets it again; the steps and the other blobs have nothing to do with it."""
    other = tmp_path / "other"
    other.write_bytes(b"bytes")
    answer = worker.answer(Batch((Say(1), Say(2)), (str(tmp_path), str(other))))
    assert [one.value for one in answers_in(answer, 2)] == [1, 2]
    assert not other.exists()
    assert f"could not remove {tmp_path}" in caplog.text


def test_the_loss_of_a_worker_is_the_failure_of_all_that_it_had() -> None:
    """They are done again, each for itself."""
    lost = Answer(failure=Failure(ErrorClass.TRANSIENT, "worker process ended"))
    assert answers_in(lost, 3) == [lost] * 3
