"""Keep worker processes, hand each one step at a time, and collect the answers.

Every worker has a pipe of its own: one that is killed, at any instant, breaks only that, and its
step alone is lost. (Pools that share a queue and a lock between workers stop for good when one is
killed inside; `.github/decisions/` has the measurement.)

- Processes come from a fork server (`forkserver.py`): they start in milliseconds, share memory, and
  inherit no threads or connections.
- They are started when there is work, and let go when there has been none for a while.
- Where the system lets no more of them be, those that are there do the work.
"""

from __future__ import annotations

import logging
import math
import os
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Generic, TypeVar

from uploader import clock
from uploader.drain.forkserver import ForkServer
from uploader.drain.steps import Answer, Failure, time_limit
from uploader.drain.worker import NOT_BEGUN
from uploader.errors import ErrorClass, UploaderError, advice
from uploader.store import pace
from uploader.store.opening import home_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from uploader.drain.steps import Batch, Step
    from uploader.place import Place

Key = TypeVar("Key")

FALSE_STARTS = 5  #: workers in a row that may die before their first answer
SLOW_LOAD = 30.0  #: seconds of loading after which that is told
FEWER_FOR = 30.0  #: seconds for which the pool is smaller, after a worker could not be started

_log = logging.getLogger(__name__)


@dataclass
class _Running(Generic[Key]):
    """A worker process and the step it is in."""

    pid: int
    pipe: Connection
    key: Key | None = None
    step: Step | Batch | None = None
    limit: float = 0.0  #: monotonic seconds at which the step counts as stuck
    answered: bool = False
    is_last: bool = False  #: it is to end with this step


class WorkerPool(Generic[Key]):
    """Up to `size` workers for one destination."""

    def __init__(self, size: int, place: Place, lock_descriptor: int) -> None:
        """Prepare; no process is started yet."""
        self._size = size
        self._fewer_until = 0.0  #: monotonic seconds
        self._place = place
        self._fence = lock_descriptor
        self._memory: int | None = None  #: what the workers share to keep one limit together
        self._server = ForkServer(home_of(place))
        self._workers: list[_Running[Key]] = []
        self._lost: deque[tuple[Key, Answer]] = deque()
        self._unstarted: deque[tuple[Key, Step | Batch]] = deque()  #: the next free worker's
        self._false_starts = 0
        self._awaited_since: float | None = None  #: monotonic seconds; until it is told

    @property
    def busy(self) -> int:
        """How many steps are in flight."""
        return self.begun + len(self._unstarted)

    @property
    def begun(self) -> int:
        """How many of them a worker has, or had: the others cost nothing if they are not done."""
        return sum(worker.key is not None for worker in self._workers) + len(self._lost)

    @property
    def size(self) -> int:
        """How many steps may be in flight: fewer where the system lets no more processes be."""
        fewer = clock.monotonic() < self._fewer_until
        return max(1, min(self._size, len(self._workers))) if fewer else self._size

    @property
    def running(self) -> bool:
        """Whether there are processes of it."""
        return self._server.running

    def warm_up(self) -> None:
        """Begin to load what workers need, in a process beside this one."""
        self._server.begin()

    def use(self, place: Place) -> None:
        """Have every step from now on done by workers that know this; none may be in flight."""
        if place != self._place:
            self._end_workers()
            self._place = place
            self._server.preload = home_of(place)

    def renew(self) -> None:
        """Have every step that is given from now on done by a new worker, with a new client."""
        for worker in self._workers.copy():
            if worker.key is None:
                self._end(worker)
            else:
                worker.is_last = True

    def submit(self, key: Key, step: Step | Batch) -> None:
        """Give a step to a free worker; the caller keeps `busy` below `size`.

        Raises:
            OSError: not one worker can be started.
            UploaderError: several in a row have not come to work.
        """
        while True:
            worker = self._free_worker or self._start_if_may_be()
            if worker is None:
                self._unstarted.append((key, step))
                return
            try:
                worker.pipe.send(step)
            except OSError:  # it died while it was free: nothing is lost
                self._bury(worker)
                continue
            worker.key, worker.step = key, step
            worker.limit = clock.monotonic() + self._time_limit(step)
            return

    def answers(self, timeout: float) -> list[tuple[Key, Answer]]:
        """Return the answers that came within `timeout` seconds, as soon as there is one."""
        if self._lost:
            timeout = 0
        if self._unstarted:
            until = clock.monotonic() + timeout
            wait([*self._server.awaited, *(worker.pipe for worker in self._workers)], timeout)
            self._start_unstarted()
            self._tell_if_slow()
            timeout = max(0.0, until - clock.monotonic())
        pipes = {worker.pipe: worker for worker in self._workers}
        came = [self._receive(pipes[pipe]) for pipe in wait(list(pipes), timeout)]  # type: ignore[index]
        self._end_stuck()
        self._start_unstarted()
        came += [self._lost.popleft() for _ in range(len(self._lost))]
        return [one for one in came if one is not None]

    def stop(self) -> None:
        """End all processes at once; steps in flight are lost, which costs only their time."""
        self._end_workers()
        self._server.stop()

    def _end_workers(self) -> None:
        for worker in self._workers:
            self._kill(worker)
        for worker in self._workers.copy():
            self._drop(worker)
        self._lost.clear()
        self._unstarted.clear()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    @property
    def _free_worker(self) -> _Running[Key] | None:
        return next((one for one in self._workers if one.key is None), None)

    def _start_unstarted(self) -> None:
        """Give to workers what no worker could be started for; what has to wait on does."""
        for _ in range(len(self._unstarted)):
            self.submit(*self._unstarted.popleft())

    def _tell_if_slow(self) -> None:
        """Say so once if steps wait for long because of what workers load."""
        if not self._server.awaited:
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = clock.monotonic()
        elif clock.monotonic() - self._awaited_since >= SLOW_LOAD:
            self._awaited_since = math.inf
            _log.warning(
                "uploads wait for %s, which has been loading for %.0f s: is the disk slow that "
                "Python's packages are on? Nothing is lost; it goes on when that is loaded",
                home_of(self._place), SLOW_LOAD,
            )  # fmt: skip

    def _start_if_may_be(self) -> _Running[Key] | None:
        """Start a worker; None if what they need still loads, or if no more of them may be."""
        if len(self._workers) >= self.size:  # the system did not let one be just now
            return None
        try:
            self._server.begin()
            return self._start() if self._server.is_ready else None
        except OSError as error:
            if not self._workers:
                raise
            self._be_fewer(f"{error}; {advice(error) or 'see why'}")
            return None

    def _be_fewer(self, why: str) -> None:
        """Do with the workers that there are, for a while."""
        if not self._fewer_until:
            _log.warning("%s. Going on with %d of %d workers", why, len(self._workers), self._size)
        self._fewer_until = clock.monotonic() + FEWER_FOR

    def _start(self) -> _Running[Key]:
        if self._memory is None and self._place.options.max_bandwidth is not None:
            self._memory = pace.new_memory()
        shared = () if self._memory is None else (self._memory,)
        worker: _Running[Key] = _Running(*self._server.start(self._fence, *shared))
        self._workers.append(worker)
        with suppress(OSError):  # it is dead already: the step that it is for finds out
            worker.pipe.send(self._place)
        return worker

    def _time_limit(self, step: Step | Batch) -> float:
        limit = self._place.options.max_bandwidth
        return time_limit(step, limit / self.size if limit else math.inf)

    def _receive(self, worker: _Running[Key]) -> tuple[Key, Answer] | None:
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            self._lose(worker, "worker process ended")
            return None
        key, worker.key, worker.answered = worker.key, None, True
        self._false_starts = 0
        if worker.is_last:
            self._end(worker)
        return None if key is None else (key, answer)

    def _end_stuck(self) -> None:
        now = clock.monotonic()
        for worker in [one for one in self._workers if one.key is not None and one.limit < now]:
            self._kill(worker)
            self._lose(worker, "no progress within the time limit of the step")

    def _lose(self, worker: _Running[Key], why: str) -> None:
        """Answer for a worker that cannot."""
        code = self._bury(worker)
        if code == NOT_BEGUN and self._workers:
            if worker.key is not None and worker.step is not None:
                self._unstarted.append((worker.key, worker.step))
        elif worker.key is not None:
            text = f"{why} (pid {worker.pid}, exit code {code})"
            _log.warning("%s; its step is done again", text)
            self._lost.append((worker.key, Answer(failure=Failure(ErrorClass.TRANSIENT, text))))

    def _bury(self, worker: _Running[Key]) -> int | None:
        """Forget a worker that ended by itself, and see what that means for those to come.

        Returns its exit code, if known.

        Raises:
            UploaderError: several in a row have not come to work.
        """
        code = self._drop(worker)
        if code == NOT_BEGUN and self._workers:
            self._be_fewer("a worker process could not begin; see the message above")
        elif not worker.answered and code not in (None, -signal.SIGKILL):  # of its own doing
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS:
                msg = (
                    f"{self._false_starts} worker processes in a row ended before their first "
                    f"answer (exit code {code}); see the messages above"
                )
                raise UploaderError(msg)
        return code

    def _end(self, worker: _Running[Key]) -> None:
        self._kill(worker)
        self._drop(worker)

    @staticmethod
    def _kill(worker: _Running[Key]) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)

    def _drop(self, worker: _Running[Key]) -> int | None:
        """Wait for the end of a worker that ends, and forget it. Return its exit code, if known."""
        self._workers.remove(worker)
        worker.pipe.close()
        return self._server.ended(worker.pid)
