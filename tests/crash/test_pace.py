"""Holds running workers to one rate: no sum of them is faster, and a killed one stops nobody.

Times are asserted from below only: bytes cannot go faster than the limit on any machine, but on a
busy one everything may take longer.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from tests.crash.bucket_scene import wait_until
from tests.crash.processes import kill
from tests.crash.scene import TIME_LIMIT, Scene
from tests.servers.s3_server import S3Server
from uploader import Spool
from uploader.checksum import crc32c
from uploader.drain import steps
from uploader.drain.pool import WorkerPool
from uploader.drain.steps import Answer, PutWhole
from uploader.drain.worker import Worker
from uploader.model import PutMode
from uploader.place import Capabilities, Place
from uploader.store.base import ObjectMeta, ObjectStore
from uploader.store.body import Body
from uploader.store.pace import Pace, new_memory

WORKERS = 4
RATE = 1 << 20  #: bytes per second
TOTAL = 3 * RATE // 2  #: bytes that each test sends, over all workers
PORTION = Pace(RATE, -1).portion

Pool = WorkerPool[str]


@dataclass(frozen=True)
class Ready:
    """A step that is answered once its worker works."""

    size: int = 0

    def perform(self, store: ObjectStore) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class TakeAndStay:
    """A step that takes its turn, and stays inside the lock for longer than any test lasts."""

    reached: Path
    size: int = 0

    def perform(self, store: Any) -> None:
        """Say so when it is inside: there the time is asked for."""
        store._pace._now = self._stay
        store._pace.take(1)

    def _stay(self) -> float:
        self.reached.touch()
        time.sleep(3600)
        return 0.0


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """Return a function that makes a pool whose workers all run; they are ended at the end."""
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    made: list[Pool] = []

    def make(**options: object) -> Pool:
        (tmp_path / "remote").mkdir()
        place = Place.of(f"file://{tmp_path}/remote", options)
        pool: Pool = WorkerPool(WORKERS, place, descriptor)
        made.append(pool)
        for number in range(WORKERS):
            pool.submit(f"ready-{number}", Ready())
        answers_of(pool)
        return pool

    yield make
    for pool in made:
        pool.stop()
    os.close(descriptor)


def put(folder: Path, name: str, size: int) -> PutWhole:
    """Make a file, and the step that sends it."""
    content = os.urandom(size)
    (folder / name).write_bytes(content)
    value = crc32c(content)
    body = Body(str(folder / name), 0, size, value)
    meta = ObjectMeta(f"{value:032x}", size, value, None, "run", 0)
    return PutWhole(name, body, PutMode.CREATE, meta)


def answers_of(pool: Pool) -> dict[str, Answer]:
    """Return all answers; the test's time limit bounds it."""
    answers: dict[str, Answer] = {}
    while pool.busy:
        answers.update(pool.answers(timeout=0.1))
    return answers


@pytest.mark.parametrize("busy", [1, WORKERS])
def test_workers_together_are_no_faster_than_the_limit(
    tmp_path: Path, make_pool: Callable[..., Pool], busy: int
) -> None:
    """One that is alone, and four that share it: the same bytes take the same least time."""
    pool = make_pool(max_bandwidth=RATE)
    sending = [put(tmp_path, f"file-{number}", TOTAL // busy) for number in range(busy)]
    begun = time.monotonic()
    for step in sending:
        pool.submit(step.name, step)
    answers = answers_of(pool)
    assert time.monotonic() - begun >= (TOTAL - PORTION) / RATE
    assert [answer.failure for answer in answers.values()] == [None] * busy
    for step in sending:
        arrived = (tmp_path / "remote" / step.name).read_bytes()
        assert arrived == (tmp_path / step.name).read_bytes()


def test_a_worker_killed_inside_the_lock_stops_nobody_and_the_limit_holds(
    tmp_path: Path, make_pool: Callable[..., Pool]
) -> None:
    """The others wait while it lives, go on when it is dead, and are still held to the rate.

    With a semaphore of multiprocessing in place of the lock they would wait for ever.
    """
    pool = make_pool(max_bandwidth=RATE)
    inside = tmp_path / "inside"
    pool.submit("killed", TakeAndStay(inside))
    wait_until(inside.exists)
    assert pool._memory is not None
    with pytest.raises(BlockingIOError):
        fcntl.lockf(pool._memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    others = WORKERS - 1
    for number in range(others):
        step = put(tmp_path, f"file-{number}", TOTAL // others)
        pool.submit(step.name, step)
    assert pool.answers(timeout=0.5) == []
    (victim,) = [one.pid for one in pool._workers if one.key == "killed"]
    begun = time.monotonic()
    assert kill(victim)
    answers = answers_of(pool)
    assert time.monotonic() - begun >= (TOTAL - PORTION) / RATE
    assert answers.pop("killed").failure
    assert [answer.failure for answer in answers.values()] == [None] * others


def test_a_new_worker_keeps_to_the_limit_of_the_others(
    tmp_path: Path, make_pool: Callable[..., Pool]
) -> None:
    """One that takes the place of a killed one waits until what was taken before is through."""
    pool = make_pool(max_bandwidth=RATE)
    for worker in list(pool._workers):
        assert kill(worker.pid)
        wait([worker.pipe])
    step = put(tmp_path, "file", 1)
    assert pool._memory is not None
    begun = time.monotonic()
    Pace(RATE, pool._memory).take(TOTAL)
    pool.submit(step.name, step)
    assert answers_of(pool)["file"].failure is None
    assert time.monotonic() - begun >= TOTAL / RATE


def test_a_step_that_waits_for_its_turn_is_not_taken_for_stuck(
    tmp_path: Path, make_pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit makes it slow, not the store; however long that takes, it is healthy."""
    pool = make_pool(max_bandwidth=RATE)
    monkeypatch.setattr(steps, "TIME_LIMIT", 0.2)
    step = put(tmp_path, "file", RATE)
    monkeypatch.setattr(steps, "SLOWEST", step.size / 0.2)
    pool.submit(step.name, step)
    assert answers_of(pool)["file"].failure is None


def test_a_pool_that_was_stopped_leaves_no_memory_behind(make_pool: Callable[..., Pool]) -> None:
    """The descriptor is closed; without a limit there is none."""
    pool = make_pool(max_bandwidth=RATE)
    memory = pool._memory
    assert memory is not None
    assert os.readlink(f"/proc/self/fd/{memory}").startswith("/memfd:")
    pool.stop()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)


def test_without_a_limit_workers_share_nothing(make_pool: Callable[..., Pool]) -> None:
    """Nothing is made for it, so nothing is paid for it."""
    assert make_pool()._memory is None


def test_a_drain_keeps_to_the_limit_that_the_spool_remembers(tmp_path: Path) -> None:
    """All of the way: parts of a large file, small ones beside it, by the real command."""
    scene = Scene(tmp_path)
    with Spool(
        scene.spool,
        f"file://{scene.destination}",
        options={"part_size": RATE // 2, "max_bandwidth": RATE},
    ) as spool:
        contents: dict[str, bytes | str] = {
            "large": os.urandom(2 * RATE),
            **{f"small-{number}": os.urandom(RATE // 8) for number in range(4)},
        }
        for name, content in contents.items():
            assert isinstance(content, bytes)
            spool.put_file(name, scene.write(name, content))
    total = sum(map(len, contents.values()))
    begun = time.monotonic()
    assert scene.run("drain", "--workers", str(WORKERS)).returncode == 0
    assert time.monotonic() - begun >= (total - PORTION) / RATE
    assert scene.arrived() == contents


@pytest.mark.timeout(TIME_LIMIT)
@pytest.mark.parametrize("crc32c_known", [True, False])
def test_a_slow_pace_to_s3_is_no_stall(
    tmp_path: Path, seaweed: S3Server, monkeypatch: pytest.MonkeyPatch, crc32c_known: bool
) -> None:
    """A request may take longer than the stall timeout, if something is sent all the time.

    Also where a Content-MD5 is sent, for which the body is read once more.
    """
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    options = {"endpoint": seaweed.endpoint, "stall_timeout": "2s"}
    able = Capabilities(seaweed.endpoint, crc32c=crc32c_known)
    place = replace(Place.of(f"s3://{seaweed.make_bucket()}", options), capabilities=able)
    memory = new_memory()
    worker = Worker(place, Pace(RATE // 4, memory))
    step = put(tmp_path, "file", 3 * RATE // 4)
    answer = worker.answer(step)
    assert answer.failure is None
    assert answer.seconds >= 3 - 0.05
    assert b"".join(worker._opened().read("file")) == (tmp_path / "file").read_bytes()
    worker._close()
    os.close(memory)
