"""Kills the pool's workers while they work: each costs its step, and nothing else ever stops."""

from __future__ import annotations

import os
import random
import resource
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import pytest

from tests.crash.processes import kill, wait_until_loaded
from uploader import Spool
from uploader.drain import pool as pool_module
from uploader.drain.forkserver import ForkServer
from uploader.drain.pool import FALSE_STARTS, WorkerPool
from uploader.drain.steps import Answer
from uploader.drain.worker import NOT_BEGUN, Worker
from uploader.errors import UploaderError
from uploader.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from uploader.store.base import ObjectStore

WORKERS = 4
KILLS = 60


@dataclass(frozen=True)
class Echo:
    """A step that answers its number, and who did it."""

    number: int
    size: int = 0

    def perform(self, store: ObjectStore) -> tuple[int, int, bytes]:
        """Answer with some bytes, so that an answer can be cut off half way."""
        return self.number, os.getpid(), bytes(100_000)


@dataclass(frozen=True)
class Hang:
    """A step that never ends."""

    size: int = 0

    def perform(self, store: ObjectStore) -> None:
        """Sleep for longer than any test lasts."""
        time.sleep(3600)


@dataclass(frozen=True)
class Exit:
    """A step in which the worker ends."""

    size: int = 0

    def perform(self, store: ObjectStore) -> None:
        """End the process as a crash in a library would."""
        os._exit(7)


@dataclass(frozen=True)
class Pid:
    """Says who does it."""

    size: int = 0

    def perform(self, store: ObjectStore) -> int:
        """Return the worker's process id."""
        return os.getpid()


@dataclass(frozen=True)
class Holdings:
    """Says what the worker has open."""

    size: int = 0

    def perform(self, store: ObjectStore) -> list[str]:
        """Return what each descriptor above stderr's is."""
        found = []
        for number in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # of the listing itself
                if int(number) > 2:
                    found.append(os.readlink(f"/proc/self/fd/{number}").partition(":")[0])
        return sorted(found)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool[int]]:
    """Return a pool of four, which has loaded what they need; it is ended at the end."""
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    pool: WorkerPool[int] = WorkerPool(WORKERS, Place.of(f"file://{tmp_path}"), descriptor)
    wait_until_loaded(pool)
    yield pool
    pool.stop()
    os.close(descriptor)


def test_kills_at_any_instant_cost_single_steps(pool: WorkerPool[int]) -> None:
    """Every step is answered, done or failed, and the pool goes on after sixty kills.

    Pools that share a queue and a lock between workers stopped for good after one to four.
    """
    chance = random.Random(3)
    handed = answered = failed = kills = 0
    while kills < KILLS or answered < handed:
        while pool.busy < pool.size and kills < KILLS:
            handed += 1
            pool.submit(handed, Echo(handed))
        if chance.random() < 0.2 and kills < KILLS:
            victim = chance.choice(pool._workers).pid
            kills += kill(victim)
        for number, answer in pool.answers(timeout=5):
            answered += 1
            failed += answer.failure is not None
            assert answer.failure or answer.value[0] == number
    assert answered == handed
    assert 0 < failed <= KILLS


def test_a_step_that_hangs_is_ended_and_answered_as_failed(
    pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is replaced; the steps of the others are not touched."""
    monkeypatch.setattr(pool_module, "time_limit", lambda step, share: 0.5)
    pool.submit(1, Hang())
    monkeypatch.undo()
    pool.submit(2, Echo(2))
    answers: dict[int, Answer] = {}
    while len(answers) < 2:
        answers.update(pool.answers(timeout=1))
    failure = answers[1].failure
    assert failure
    assert failure.error.startswith("no progress")
    assert answers[2].value[0] == 2
    pool.submit(3, Echo(3))
    assert pool.answers(timeout=30)[0][1].value[0] == 3


def test_workers_that_never_get_to_work_end_the_pool_with_a_reason(pool: WorkerPool[int]) -> None:
    """Failing at the start stops, failing later restarts: a loop of dying workers helps nobody."""
    for number in range(FALSE_STARTS - 1):
        pool.submit(number, Exit())
        assert pool.answers(timeout=30)[0][1].failure
    pool.submit(FALSE_STARTS, Exit())
    with pytest.raises(UploaderError, match="exit code 7"):
        pool.answers(timeout=30)


def test_renewed_workers_are_new_processes_and_no_step_is_lost(pool: WorkerPool[int]) -> None:
    """Free workers end at once; one that is busy ends after its step. New ones have new clients."""
    pool.submit(1, Pid())
    before = pool.answers(timeout=30)[0][1].value
    pool.renew()
    pool.submit(2, Pid())
    pool.renew()  # while it is busy
    between = pool.answers(timeout=30)[0][1].value
    pool.submit(3, Pid())
    assert len({before, between, pool.answers(timeout=30)[0][1].value}) == 3


def test_a_kill_of_the_fork_server_costs_no_step_and_stops_nothing(
    pool: WorkerPool[int],
) -> None:
    """The workers that it has forked go on; the next ones come from a new one."""
    for number in range(KILLS // 4):
        pool.submit(number, Pid())
        assert kill(pool._server._pid)
        before = pool.answers(timeout=30)[0][1].value
        assert kill(before)
        wait([pool._workers[0].pipe])  # it is gone, and the next step needs a new one
        pool.submit(number, Pid())
        assert pool.answers(timeout=30)[0][1].value not in (None, before)


def test_a_worker_holds_its_pipe_and_the_lock_and_nothing_else(
    pool: WorkerPool[int], tmp_path: Path
) -> None:
    """Not the database, not the pipe of another; also if the fork server was made late."""
    held: dict[int, Answer] = {}
    with Spool(tmp_path / "spool", f"file://{tmp_path}/remote") as spool:
        for number in range(WORKERS):
            if number == WORKERS // 2:
                assert kill(pool._server._pid)
            assert spool.status().pending == 0  # it is open whenever something is forked
            pool.submit(number, Holdings())
    while len(held) < WORKERS:
        held.update(pool.answers(timeout=30))
    lock = str(tmp_path / "lock")
    assert [answer.value for answer in held.values()] == [[lock, "socket"]] * WORKERS


def test_a_pool_whose_workers_cannot_be_started_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not try for ever."""
    (tmp_path / "ends_the_process.py").write_text("import os; os._exit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer("ends_the_process")
    with pytest.raises(UploaderError, match="no worker process can be started"):
        server.start()
    assert not server.running


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_pool_that_may_have_fewer_processes_does_all_with_those(
    pool: WorkerPool[int], most: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once, with what to raise; no step fails for it."""
    pool.submit(0, Echo(0))
    assert pool.answers(timeout=30)
    handed, answered = 1, {0}
    with only(most - 1):
        while len(answered) < 40:
            while pool.busy < pool.size and handed < 40:
                pool.submit(handed, Echo(handed))
                handed += 1
            for number, answer in pool.answers(timeout=30):
                assert answer.value[0] == number
                answered.add(number)
            assert len(pool._workers) <= most
    assert pool.size == most
    (told,) = [one.getMessage() for one in caplog.records]
    assert f"raise the limit on open files (ulimit -n). Going on with {most} of 4" in told


@contextmanager
def only(more: int) -> Iterator[None]:
    """Let this process open descriptors for so many more workers' pipes, and one half."""
    free = [os.dup(2) for _ in range(more + 2)]
    for number in free:
        os.close(number)
    lower, upper = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], upper))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lower, upper))


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_may_not_begin_leaves_its_step_to_the_others(
    pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """A thread is one process too many; the step was not tried, and does not fail."""
    pool.submit(0, Hang())
    have_none_begin(pool, monkeypatch, late=late)
    pool.submit(1, Pid())
    while pool.size > 1:
        assert pool.answers(timeout=30) == []
    assert pool.busy == 2
    assert pool.size == 1
    kill(pool._workers[0].pid)  # the one that hangs, and the next may begin again
    monkeypatch.undo()
    pool._server.stop()
    answers: dict[int, Answer] = {}
    while len(answers) < 2:
        answers.update(pool.answers(timeout=30))
    assert answers[0].failure
    assert answers[1].value


def test_workers_of_which_not_one_may_begin_end_the_pool_with_a_reason(
    pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each has ended before its step could be sent: it is not tried for ever."""
    have_none_begin(pool, monkeypatch, late=True)
    with pytest.raises(UploaderError, match=f"exit code {NOT_BEGUN}"):
        pool.submit(1, Pid())


def have_none_begin(pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch, *, late: bool) -> None:
    """Let no new worker have its thread; `late`: it has ended before we get to send it a step."""
    monkeypatch.setattr("uploader.drain.forkserver.work", refused)
    if pool.running:
        assert kill(pool._server._pid)
    start = pool._server.start

    def started(*descriptors: int) -> tuple[int, Connection]:
        pid, pipe = start(*descriptors)
        if late:
            wait([pipe])
        return pid, pipe

    monkeypatch.setattr(pool._server, "start", started)


def refused(pipe: Connection, memory: int | None) -> None:
    """End as a worker does that may not have its thread."""
    os._exit(NOT_BEGUN)


def test_nobody_waits_for_what_workers_load(
    tmp_path: Path,
    pool: WorkerPool[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From a cold disk of the network it takes long; signals and deadlines count meanwhile."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "loads_for_long.py").write_text(f"open({str(gate)!r}).read()")
    monkeypatch.syspath_prepend(tmp_path)
    pool.stop()
    pool._server.preload = "loads_for_long"
    monkeypatch.setattr(pool_module, "SLOW_LOAD", 0)
    for number in range(WORKERS):
        pool.submit(number, Pid())
        assert pool.answers(timeout=0.01) == []
    assert pool.busy == WORKERS
    (told,) = [one.getMessage() for one in caplog.records]
    assert "Nothing is lost; it goes on when that is loaded" in told
    gate.write_text("")  # waits for the reader, and lets it go on
    answers: dict[int, Answer] = {}
    while len(answers) < WORKERS:
        answers.update(pool.answers(timeout=30))
    assert len({answer.value for answer in answers.values()}) == WORKERS


def test_an_unforeseen_error_in_a_step_is_an_answer(tmp_path: Path) -> None:
    """A bug in a store must not take the upload, or the worker, with it."""

    @dataclass(frozen=True)
    class Broken:
        size: int = 0

        def perform(self, store: ObjectStore) -> None:
            raise ZeroDivisionError("a bug")

    answer = Worker(Place.of(f"file://{tmp_path}")).answer(Broken())
    assert answer.failure
    assert answer.failure.error == "ZeroDivisionError: a bug"
    assert 'raise ZeroDivisionError("a bug")' in str(answer.failure.trace)
