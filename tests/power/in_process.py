"""Stands in for the pool of worker processes: their steps are done here and now.

Nor is there any waiting: when the supervisor has nothing to do, time passes at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from uploader.drain.worker import Worker

if TYPE_CHECKING:
    from uploader.place import Place

PATIENCE = 200  #: looks in a row that find nothing done: the supervisor waits for what never comes
STRIDE = 5.0  #: seconds that pass when there is nothing to do


class Time:
    """How much later it is than the clock says."""

    passed = 0.0  #: seconds


@contextmanager
def no_waiting(later: float) -> Iterator[None]:
    """Have supervisors work in this process, `later` seconds after now, and without waiting."""
    now, monotonic = time.time, time.monotonic
    Time.passed = later
    with (
        patch("uploader.clock.now", lambda: now() + Time.passed),
        patch("uploader.clock.monotonic", lambda: monotonic() + Time.passed),
        patch("uploader.drain.supervisor.WorkerPool", InProcessPool),
    ):
        yield


class InProcessPool:
    """As `uploader.drain.pool.WorkerPool`, without processes."""

    running = False

    def __init__(self, size: int, place: Place, lock_descriptor: int) -> None:
        """Prepare."""
        self.size = size
        self._worker = Worker(place)
        self._answers: list[tuple[Any, Any]] = []
        self._empty = 0

    @property
    def busy(self) -> int:
        """How many answers are waiting."""
        return len(self._answers)

    begun = busy

    def warm_up(self) -> None:
        """Nothing is loaded beside."""

    def use(self, place: Place) -> None:
        """Go on with what was found out of the destination."""
        self._worker = Worker(place)

    def submit(self, key: Any, step: Any) -> None:
        """Do a step."""
        self._answers.append((key, self._worker.answer(step)))

    def answers(self, timeout: float) -> list[tuple[Any, Any]]:
        """Return the answers; never waits."""
        answers, self._answers = self._answers, []
        self._empty = 0 if answers else self._empty + 1
        Time.passed += 0 if answers else STRIDE
        if self._empty > PATIENCE:
            msg = "the supervisor found nothing to do, and did not leave"
            raise TimeoutError(msg)
        return answers

    def stop(self) -> None:
        """Forget what was not asked for."""
        self._answers.clear()
