"""Keep worker processes, hand each one step at a time, and collect the answers.

Every worker has a pipe of its own: one that is killed, at any instant, breaks only that, and its
step alone is lost. (Pools that share a queue and a lock between workers stop for good when one is
killed inside; `.github/decisions/` has the measurement.)

- Processes come from a fork server that has our modules loaded: they start in milliseconds, share
  memory, and never inherit the supervisor's threads or connections.
- They are started when there is work, and let go when there has been none for a while.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Generic, TypeVar

from uploader import clock
from uploader.drain.steps import Answer, Failure, time_limit
from uploader.drain.worker import Carried, work
from uploader.errors import ErrorClass, UploaderError
from uploader.store import pace
from uploader.store.opening import home_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from uploader.drain.steps import Batch, Step
    from uploader.place import Place

Key = TypeVar("Key")

FALSE_STARTS = 5  #: workers in a row that may die before their first answer

_log = logging.getLogger(__name__)


@dataclass
class _Running(Generic[Key]):
    """A worker process and the step it is in."""

    process: ForkServerProcess
    pipe: Connection
    key: Key | None = None
    limit: float = 0.0  #: monotonic seconds at which the step counts as stuck
    answered: bool = False
    is_last: bool = False  #: it is to end with this step


class WorkerPool(Generic[Key]):
    """Up to `size` workers for one destination."""

    def __init__(self, size: int, place: Place, lock_descriptor: int) -> None:
        """Prepare; no process is started yet."""
        self.size = size
        self._place = place
        self._fence = Carried(lock_descriptor)
        self._memory: int | None = None  #: what the workers share to keep one limit together
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["uploader.drain.worker", home_of(place)])
        self._workers: list[_Running[Key]] = []
        self._lost: deque[tuple[Key, Answer]] = deque()
        self._false_starts = 0

    @property
    def busy(self) -> int:
        """How many steps are in flight."""
        return sum(worker.key is not None for worker in self._workers) + len(self._lost)

    @property
    def running(self) -> bool:
        """Whether there are worker processes."""
        return bool(self._workers)

    def use(self, place: Place) -> None:
        """Have every step from now on done by workers that know this; none may be in flight."""
        if place != self._place:
            self.stop()
            self._place = place

    def renew(self) -> None:
        """Have every step that is given from now on done by a new worker, with a new client."""
        for worker in self._workers.copy():
            if worker.key is None:
                self._end(worker)
            else:
                worker.is_last = True

    def submit(self, key: Key, step: Step | Batch) -> None:
        """Give a step to a free worker; the caller keeps `busy` below `size`."""
        while True:
            worker = next((one for one in self._workers if one.key is None), None) or self._start()
            try:
                worker.pipe.send(step)
            except OSError:  # it died while it was free: nothing is lost
                self._drop(worker)
                continue
            worker.key, worker.limit = key, clock.monotonic() + self._time_limit(step)
            return

    def answers(self, timeout: float) -> list[tuple[Key, Answer]]:
        """Return the answers that came within `timeout` seconds, as soon as there is one."""
        if self._lost:
            timeout = 0
        pipes = {worker.pipe: worker for worker in self._workers}
        came = [self._receive(pipes[pipe]) for pipe in wait(list(pipes), timeout)]  # type: ignore[index]
        self._end_stuck()
        came += [self._lost.popleft() for _ in range(len(self._lost))]
        return [one for one in came if one is not None]

    def stop(self) -> None:
        """End all workers at once; steps in flight are lost, which costs nothing but their time."""
        for worker in self._workers:
            self._kill(worker)
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()
        self._lost.clear()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _start(self) -> _Running[Key]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work,
            args=(theirs, self._fence, self._place, self._shared()),
            name="uploader-worker",
            daemon=True,
        )
        process.start()
        theirs.close()  # so that the worker's death ends the pipe
        worker: _Running[Key] = _Running(process, ours)
        self._workers.append(worker)
        return worker

    def _shared(self) -> Carried | None:
        """Return what all workers share from the first one's start until `stop`."""
        if self._place.options.max_bandwidth is None:
            return None
        if self._memory is None:
            self._memory = pace.new_memory()
        return Carried(self._memory)

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
        self._drop(worker)
        if not worker.answered and worker.process.exitcode != -signal.SIGKILL:  # of its own doing
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS:
                msg = (
                    f"{self._false_starts} worker processes in a row ended before their first "
                    f"answer (exit code {worker.process.exitcode}); see the messages above"
                )
                raise UploaderError(msg)
        if worker.key is not None:
            text = f"{why} (pid {worker.process.pid}, exit code {worker.process.exitcode})"
            _log.warning("%s; its step is done again", text)
            self._lost.append((worker.key, Answer(failure=Failure(ErrorClass.TRANSIENT, text))))

    def _end(self, worker: _Running[Key]) -> None:
        self._kill(worker)
        self._drop(worker)

    @staticmethod
    def _kill(worker: _Running[Key]) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker.process.pid or 0, signal.SIGKILL)

    def _drop(self, worker: _Running[Key]) -> None:
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
