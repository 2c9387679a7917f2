"""Breaks requests between real drains and a real service: everything arrives, once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.bucket_scene import BucketScene, is_own
from tests.crash.processes import wait_until_loaded
from tests.servers.faults import (
    Delay,
    DropAnswer,
    ErrorIn200,
    Fault,
    Refuse,
    ResetAfterBody,
    ResetBeforeBody,
    StallAnswer,
    StallBody,
    TruncateAnswer,
    either,
    first,
    share,
)
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Refusal, Request
from tests.servers.services import Service
from uploader.drain import pool as pool_module
from uploader.drain.pool import WorkerPool
from uploader.drain.steps import Answer as StepAnswer
from uploader.drain.steps import PutWhole
from uploader.errors import ErrorClass, TransientError
from uploader.model import PutMode
from uploader.place import Place
from uploader.policy import TRIES_IN_STEP
from uploader.store.opening import open_store
from uploader.store.testing.given import Artifacts

MIB = 1 << 20
PART = 5 * MIB  #: bytes; the least that S3 takes
LARGE = 2 * PART + 100  #: bytes; goes in three parts
STALL = 1  #: seconds; the least that the option takes
#: Seconds, where a request that a busy machine holds up must not be taken for one that stalls.
LONG_STALL, NO_STALL = 3, 60

SLOW_DOWN = Refuse(Refusal.THROTTLED)


@pytest.fixture
def proxy(service: Service) -> Iterator[FaultProxy]:
    """Stand before the service, and break nothing yet."""
    with FaultProxy(service.endpoint) as proxy:
        yield proxy


@pytest.fixture(params=[STALL])
def scene(
    tmp_path: Path, service: Service, proxy: FaultProxy, request: pytest.FixtureRequest
) -> BucketScene:
    """Return a spool that uploads through the proxy; the parameter is its stall timeout."""
    return BucketScene(
        tmp_path / "scene",
        service,
        proxy,
        part_size=PART,
        stall_timeout=request.param,
        symlink_mode="copy",
    )


def of_artifacts(decide: Callable[[Request], Fault | None]) -> Callable[[Request], Fault | None]:
    """Spare what tries the service out."""
    return lambda request: decide(request) if is_own(request) else None


def noted(
    decide: Callable[[Request], Fault | None],
) -> tuple[Callable[[Request], Fault | None], Counter[Fault]]:
    """Count the faults that were decided on."""
    played: Counter[Fault] = Counter()

    def counting(request: Request) -> Fault | None:
        fault = decide(request)
        if fault:
            played[fault] += 1
        return fault

    return counting, played


def drained(scene: BucketScene, *arguments: str, seconds: float = 60) -> int:
    """Drain to the end and return the exit code."""
    process = scene.start("drain", *arguments)
    try:
        return process.wait(timeout=seconds)
    finally:
        process.kill()
        process.wait()


def left_after_gc(scene: BucketScene) -> list[str]:
    """Return what is still unfinished at the service after `uploader gc`."""
    assert scene.run("gc", "--older-than", "0s").returncode == 0
    return scene.unfinished()


def answers_of(pool: WorkerPool[int]) -> list[StepAnswer]:
    """Wait for the next answers."""
    while not (came := pool.answers(timeout=1)):
        pass  # the test's time limit bounds it
    return [answer for _, answer in came]


LOST = (
    Kind.PUT,
    Kind.BEGIN,
    Kind.PART,
    Kind.COMPLETE,
    Kind.COPY,
)


@pytest.mark.parametrize(
    ("overwrite", "times"), [(False, 1), (False, TRIES_IN_STEP + 1), (True, TRIES_IN_STEP + 1)]
)
def test_uploads_whose_answers_are_lost_end_done_and_once(
    scene: BucketScene, overwrite: bool, times: int
) -> None:
    """Put, part, completion and copy: in a step, and when the step was given up for it."""
    contents = {"small": os.urandom(1000), "large": os.urandom(LARGE)}
    with scene.open() as spool:
        makers = {
            name: spool.put_file(name, scene.write(name, content), overwrite=overwrite)
            for name, content in contents.items()
        }
        makers["link"] = spool.put_symlink("small", "link", overwrite=overwrite)
    contents["link"] = contents["small"]
    scene.proxy.decide = of_artifacts(either(*(first(kind, DropAnswer(), times) for kind in LOST)))
    assert drained(scene) == 0, scene.log.read_text()
    for kind in LOST:
        assert any(one.status is None and one.upstream_status for one in scene.requests(kind)), kind
    assert {name: scene.read(name) for name in scene.names()} == contents
    assert {name: scene.owner(name) for name in contents} == makers
    assert left_after_gc(scene) == []


@pytest.mark.parametrize("scene", [NO_STALL], indirect=True)
def test_a_large_object_that_was_completed_is_not_sent_again(scene: BucketScene) -> None:
    """Its completion was not answered, and the attempt given up: the next finds the object."""
    with scene.open() as spool:
        maker = spool.put_file("large", scene.write("large", os.urandom(LARGE)), overwrite=False)
    scene.proxy.decide = of_artifacts(
        either(
            first(Kind.COMPLETE, DropAnswer()),
            first(Kind.COMPLETE, SLOW_DOWN),
        )
    )
    assert drained(scene) == 0, scene.log.read_text()
    assert scene.owner("large") == maker
    parts = LARGE if scene.service.scheme == "s3" else 2 * PART  # GCS completes with the last bytes
    assert sum(one.body_bytes for one in scene.requests(Kind.PART)) == parts


FAULTS = (
    Refuse(Refusal.INTERNAL),
    SLOW_DOWN,
    ResetBeforeBody(),
    ResetAfterBody(),
    StallBody(),
    TruncateAnswer(),
    DropAnswer(),
)
MAY_FAIL_LATE = {Kind.COMPLETE, Kind.COPY}
#: What is told of those that take the service long: by S3 in an answer that began well, by GCS only
#: that it failed, whether or not it was done nevertheless.
LATE = {
    "s3": (ErrorIn200("InternalError", forward=True), ErrorIn200("InternalError", forward=False)),
    "gs": (Refuse(Refusal.INTERNAL, done=True),),
}
SHARE = 0.3
FILES = {"s3": 150, "gs": 40}  #: small ones; every tenth is logged again
LINKS = {"s3": 10, "gs": 4}  #: copies
#: Requests after which nothing is broken any more. Copies need the most of them in a row: the last
#: ones would wait minutes for their tenth attempt, which those at S3 do.
BROKEN = {"s3": 1 << 30, "gs": 300}
SEED = 20261123


@pytest.mark.slow
@pytest.mark.timeout(240)  # some two hundred stalls of a second, and back-off
def test_everything_arrives_though_every_third_request_fails(scene: BucketScene) -> None:
    """Right bytes, each of the last version, one object a name; nothing is stuck after `gc`.

    From the first request on, so also those by which the service is tried out.
    """
    chance = random.Random(SEED)
    expected: dict[str, tuple[str, bytes]] = {}
    with scene.open() as spool:
        files = FILES[scene.service.scheme]
        names = files * 9 // 10
        for number in range(files):
            content = chance.randbytes(chance.choice([0, 1, 1000, 100_000, MIB]))
            name, overwrite = f"file-{number % names}", number >= names or bool(number % 2)
            source = scene.write("source", content)
            expected[name] = spool.put_file(name, source, overwrite=overwrite), content
        for number in range(5):
            content = chance.randbytes(LARGE + number)
            source = scene.write("source", content)
            name = f"large-{number}"
            expected[name] = spool.put_file(name, source, overwrite=bool(number % 2)), content
        for number in range(LINKS[scene.service.scheme]):
            name, target = f"link-{number}", f"file-{number}"
            maker = spool.put_symlink(target, name, overwrite=bool(number % 2))
            expected[name] = maker, expected[target][1]
    late = LATE[scene.service.scheme]
    decide = either(
        share(SHARE, FAULTS + 3 * late, SEED, MAY_FAIL_LATE),
        share(SHARE, FAULTS, SEED, set(Kind) - MAY_FAIL_LATE),
    )
    broken = BROKEN[scene.service.scheme]
    scene.proxy.decide, played = noted(lambda one: decide(one) if one.number <= broken else None)
    assert drained(scene, "--workers", "8", seconds=200) == 0, scene.log.read_text()
    scene.proxy.decide = lambda _: None
    assert set(played) == {*FAULTS, *late}
    assert sum(played.values()) > 0.25 * len(scene.proxy.requests)
    assert scene.names() == set(expected)
    arrived = {name: (scene.owner(name), scene.read(name)) for name in expected}
    assert arrived == expected
    assert left_after_gc(scene) == []


class Pressure:
    """Complains once all workers are at it, as often as there are workers; then lets all pass."""

    def __init__(self, scene: BucketScene, workers: int) -> None:
        """Watch the puts of a scene."""
        self._scene, self._workers = scene, workers
        self._full = False
        self.complaints = 0
        self.after: list[int] = []  #: puts in flight at the start of each, since the last complaint

    def __call__(self, request: Request) -> Fault | None:
        """Decide."""
        if request.kind != Kind.PUT or not is_own(request):
            return None
        busy = sum(one.status is None for one in self._scene.requests(Kind.PUT))
        if not self._full:
            self._full = busy == self._workers
        elif self.complaints < self._workers:
            self.complaints += 1
            return SLOW_DOWN
        else:
            self.after.append(busy)
        return Delay(0.2)


def test_complaints_lower_the_requests_in_flight_and_success_raises_them(
    scene: BucketScene,
) -> None:
    """Eight are in flight, at most half of that after eight complaints, and eight again later."""
    workers, files = 8, {"s3": 200, "gs": 100}[scene.service.scheme]
    with scene.open() as spool:
        for number in range(files):
            spool.put_file(f"file-{number}", scene.write("source", b"x"), overwrite=False)
    scene.proxy.decide = pressure = Pressure(scene, workers)
    assert drained(scene, "--workers", str(workers)) == 0, scene.log.read_text()
    assert pressure.complaints == workers
    assert max(pressure.after[:10]) <= workers // 2  # all eight are at it again after seven, else
    assert max(pressure.after) >= workers  # more where a worker does several of a batch
    assert len(scene.names()) == files


@pytest.mark.parametrize("scene", [LONG_STALL], indirect=True)
@pytest.mark.parametrize("fault", [StallBody(), StallBody(after=MIB), StallAnswer()], ids=str)
def test_a_request_that_stalls_is_ended_and_made_again(scene: BucketScene, fault: Fault) -> None:
    """After `stall_timeout`, which is a minute unless it is set as here."""
    contents = {"whole": os.urandom(PART), "in-parts": os.urandom(LARGE)}
    kinds = (Kind.PUT, Kind.PART)
    with scene.open() as spool:
        for name, content in contents.items():
            spool.put_file(name, scene.write("source", content), overwrite=True)
    scene.proxy.decide = of_artifacts(either(*(first(kind, fault) for kind in kinds)))
    assert drained(scene) == 0, scene.log.read_text()
    for kind in kinds:
        assert sum(one.status is None for one in scene.requests(kind)) == 1
    assert {name: scene.read(name) for name in scene.names()} == contents


def test_a_list_that_was_cut_off_within_its_headers_passes(
    service: Service, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a fault like any other, and none of the SDK's own making."""
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    url = f"{service.scheme}://{service.make_bucket().name}/runs"
    store = open_store(Place.of(url, {"endpoint": proxy.endpoint}))
    proxy.decide = first(Kind.LIST, TruncateAnswer())
    with pytest.raises(TransientError):
        list(store.objects())
    assert list(store.objects()) == []
    store.close()


# What the pool does is the same for every store.
@pytest.mark.parametrize("service", ["s3"], indirect=True)
# Of the threads of the proxy, which is in this process: from Python 3.12 on.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_worker_whose_request_goes_nowhere_is_ended_by_the_pool(
    service: Service,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its step is answered as failed; the worker that takes its place does the next one."""
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    url = f"{service.scheme}://{service.make_bucket().name}/runs"
    place = Place.of(url, {"endpoint": proxy.endpoint})
    artifact = Artifacts(tmp_path / "spool").of(b"content")
    step = PutWhole("name", artifact.body, PutMode.OVERWRITE, artifact.meta)
    proxy.decide = first(Kind.PUT, StallAnswer())
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    pool: WorkerPool[int] = WorkerPool(1, place, lock)
    try:
        wait_until_loaded(pool)
        with monkeypatch.context() as patch:
            patch.setattr(pool_module, "time_limit", lambda *_: 5.0)
            pool.submit(1, step)
        answers = answers_of(pool)
        assert answers[0].failure
        assert answers[0].failure.error_class is ErrorClass.TRANSIENT
        assert answers[0].failure.error.startswith("no progress")
        pool.submit(2, step)
        assert answers_of(pool)[0].value.size == len(artifact.content)
    finally:
        pool.stop()
        os.close(lock)
