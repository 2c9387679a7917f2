"""Be a worker process: take one step at a time, do it, answer.

- It makes its own store, at its first step, and a new one after an authentication error.
- It holds the supervisor's lock by the descriptor it was given: a new supervisor waits for it.
- It dies with its supervisor: a thread that sleeps on the pipe ends the process when the other end
  is gone, whatever step it is in. (PR_SET_PDEATHSIG would watch the fork server, and a worker goes
  on without that.)
- Signals meant for the process group (Ctrl-C, a scheduler's SIGTERM) are the supervisor's to
  handle, and are ignored here, as in the fork server: a worker that died of them would lose its
  part for nothing.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from uploader.crashpoint import reached
from uploader.drain.steps import Answer, Batch, Failure
from uploader.errors import ErrorClass, SessionLostError, StoreError
from uploader.policy import try_in_step
from uploader.store.foresight import foreseeing
from uploader.store.opening import open_store
from uploader.store.pace import Pace
from uploader.store.paced import with_pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from uploader.drain.steps import Step
    from uploader.place import Place
    from uploader.store.base import ObjectStore

WIDEST = 8  #: steps of a batch at a time
PATIENT = 4.0  #: times the CPU's seconds that a batch takes when it mostly waits for the service
SLOW = 0.002  #: seconds a step above which threads are worth what they cost

#: What the rest of a batch would only meet again, or is asked to wait for.
_ENDS_A_BATCH = (ErrorClass.AUTH, ErrorClass.THROTTLED)

OUTLIVE_VARIABLE = "UPLOADER_WORKERS_OUTLIVE"  #: set by the test of the lock

#: Exit code of a worker that the system did not let begin: its step was not tried.
NOT_BEGUN = os.EX_TEMPFAIL

_log = logging.getLogger(__name__)


class Worker:
    """Do steps against one store."""

    def __init__(self, place: Place, pace: Pace | None = None) -> None:
        """Upload to `place`, at `pace` if there is a limit; the first step opens the store."""
        self._place = place
        self._pace = pace
        self._store: ObjectStore | None = None
        self._foreseeing: ObjectStore | None = None  #: the same, during a batch
        self._over: ErrorClass | None = None  #: why the rest of a batch is not tried
        self._width = 1  #: steps of a batch at a time

    def answer(self, step: Step | Batch) -> Answer:
        """Do a step, or all of a batch; whatever goes wrong is answered, never raised."""
        begun = time.monotonic()
        if isinstance(step, Batch):
            with _removing(step.unneeded):
                answers = self._all(step)
            answer = Answer(answers, seconds=time.monotonic() - begun)
        else:
            answer = self._one(step)
        if self._over is ErrorClass.AUTH:
            self._close()
        self._over = None
        return answer

    def _all(self, batch: Batch) -> list[Answer]:
        """Do the steps one after another, or some at a time where the service takes its time."""
        begun, cpu = time.monotonic(), time.process_time()
        with suppress(StoreError):  # each step would say it again
            self._foreseeing = foreseeing(self._opened(), batch.in_question)
        answers = self._at_once(batch) if self._width > 1 else []
        answers = answers or [self._one(step) for step in batch.steps]
        self._foreseeing = None
        self._adapt(time.monotonic() - begun, time.process_time() - cpu, len(batch.steps))
        return answers

    def _at_once(self, batch: Batch) -> list[Answer]:
        """Do some steps at a time; return nothing if the system lets no more threads be."""
        from concurrent.futures import ThreadPoolExecutor  # slow to load

        try:
            with ThreadPoolExecutor(self._width) as threads:
                return list(threads.map(self._one, batch.steps))
        except RuntimeError:
            return []

    def _adapt(self, seconds: float, cpu: float, count: int) -> None:
        """Do more at a time if a batch of `count` steps mostly waited, fewer if it did not."""
        if seconds > PATIENT * cpu and seconds * self._width > SLOW * count:
            self._width = min(WIDEST, 2 * self._width)
        elif seconds < PATIENT * cpu / 2:
            self._width = max(1, self._width // 2)

    def _one(self, step: Step) -> Answer:
        begun = time.monotonic()
        if self._over:
            return Answer(untried=True)
        reached("worker.step-begun")
        try:
            value = try_in_step(lambda: step.perform(self._foreseeing or self._opened()))
        except StoreError as error:
            failure = Failure(error.error_class, str(error), isinstance(error, SessionLostError))
            if error.error_class in _ENDS_A_BATCH:
                self._over = error.error_class
            return Answer(failure=failure, seconds=time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001  a bug: the upload must not be lost for it
            # The supervisor logs it: it knows of which upload it is, and which attempt.
            text = f"{type(error).__name__}: {error}"
            failure = Failure(ErrorClass.TRANSIENT, text, trace=traceback.format_exc().rstrip())
            return Answer(failure=failure, seconds=time.monotonic() - begun)
        reached("worker.step-ended")
        return Answer(value, seconds=time.monotonic() - begun)

    def _opened(self) -> ObjectStore:
        if self._store is None:
            self._store = with_pace(open_store(self._place), self._pace)
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


@contextmanager
def _removing(paths: tuple[str, ...]) -> Iterator[None]:
    """Remove files meanwhile; they are gone at the end."""
    if not paths:
        yield
        return
    thread = threading.Thread(target=_remove, args=(paths,))
    try:
        thread.start()
    except RuntimeError:  # the system lets no more threads be
        _remove(paths)
        yield
        return
    try:
        yield
    finally:
        thread.join()


def _remove(paths: tuple[str, ...]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.warning("could not remove %s (the next sweep tries again): %s", path, error)


def work(pipe: Connection, memory: int | None) -> None:
    """Answer steps until the pipe ends; the first thing that comes through it is the place.

    `memory` is the descriptor of what the workers of a limit share; None: there is no limit.
    """
    if not os.environ.get(OUTLIVE_VARIABLE):
        _watch(pipe)
    try:
        place = pipe.recv()
        worker = Worker(place, _pace(place, memory))
        while True:
            pipe.send(worker.answer(pipe.recv()))
    except (EOFError, OSError):
        return


def _watch(pipe: Connection) -> None:
    try:
        threading.Thread(target=_end_with, args=(pipe.fileno(),), daemon=True).start()
    except RuntimeError as error:
        _log.error(
            "a worker ends: %s. Raise the limit on processes (ulimit -u), or on memory (ulimit -v)",
            error,
        )
        os._exit(NOT_BEGUN)  # unwatched it might outlive its supervisor


def _pace(place: Place, memory: int | None) -> Pace | None:
    rate = place.options.max_bandwidth
    return None if rate is None or memory is None else Pace(rate, memory)


def _end_with(supervisor: int) -> None:
    """End this process when the other end of its pipe, a socket, is closed.

    An empty event mask wakes for POLLHUP and POLLERR only, so unread steps do not matter.
    """
    poll = select.poll()
    poll.register(supervisor, 0)
    poll.poll()
    os._exit(1)
