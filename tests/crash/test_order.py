"""Overwrites names in quick succession, and lets requests of killed processes arrive too late.

Promise 3: an older version never lands on top of a newer one, whatever is killed when.

- A late request is one that left its worker whole before that was killed, and reaches the service
  only after the newer version is there. The proxy holds it that long.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.bucket_scene import PREFIX, BucketScene, is_of, wait_until
from tests.servers.faults import Delay, Fault, Hold
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request
from tests.servers.services import Service
from uploader.spool.spool import Spool

WORKERS = 4
ROUNDS = {"s3": 100, "gs": 30}
VERSIONS = 10
AT_ONCE = 5  #: rounds that are mixed with each other; one more than there are workers
LATENCIES = (0.15, *[0.005] * 9)  #: seconds; now and then so long that the next versions come by
IN_PARTS = 1024  #: bytes; the option part_size: what is larger goes as an object in (one) part
FIRST, OLDER, NEWER = b"version 0", b"version 1", b"version 2"


@pytest.fixture
def proxy(service: Service) -> Iterator[FaultProxy]:
    """Stand before the service."""
    with FaultProxy(service.endpoint) as proxy:
        yield proxy


@pytest.mark.timeout(180)  # some thousand requests, each with a delay
def test_of_ten_rapid_overwrites_the_last_remains(
    tmp_path: Path, service: Service, proxy: FaultProxy
) -> None:
    """Also of an alias: in many rounds, some at once, no version arrives after a newer one."""
    chance = random.Random(10)
    proxy.decide = lambda _: Delay(chance.choice(LATENCIES))
    scene = BucketScene(tmp_path, service, proxy)
    with scene.open() as spool:
        for version in range(VERSIONS):
            spool.put_file(f"target/{version}", scene.write("target", b"%d" % version))
        agent = scene.start("run", "--workers", str(WORKERS), "--exit-when-idle", "100ms")
        order = log_rounds(scene, spool, chance)
    assert agent.wait() == 0, scene.log.read_text()

    last = VERSIONS - 1
    rounds = ROUNDS[service.scheme]
    for number in range(rounds):
        assert scene.read(f"name/{number}") == f"{number}, version {last}".encode()
        assert scene.read(f"alias/{number}.symlink") == f"{PREFIX}/target/{last}".encode()
    arrived = arrivals(scene, order)
    assert all(versions == sorted(versions) for versions in arrived.values())
    raced = sum(len(versions) > 1 for versions in arrived.values())
    print("arrived:", sum(map(len, arrived.values())), "names with several:", raced)
    assert raced >= rounds // 2  # of twice as many names: of these more than the last was sent


def log_rounds(scene: BucketScene, spool: Spool, chance: random.Random) -> dict[str, int]:
    """Overwrite a name and an alias in each round, some rounds at once; return when, by upload id.

    The next rounds begin when the agent has little left to do, and go on when all workers are busy
    with their first versions: so versions are under way, and not superseded, when newer ones come.
    """
    order: dict[str, int] = {}
    for first in range(0, ROUNDS[scene.service.scheme], AT_ONCE):
        wait_until(lambda: spool.ledger.live() < AT_ONCE)
        for version in range(VERSIONS):
            for number in chance.sample(range(first, first + AT_ONCE), AT_ONCE):
                source = scene.write("source", f"{number}, version {version}".encode())
                put = spool.put_file(f"name/{number}", source, overwrite=True)
                linked = spool.put_symlink(f"target/{version}", f"alias/{number}", overwrite=True)
                order[put] = order[linked] = len(order)
            if version == 0:
                wait_until(lambda: len(spool.ledger.active()) >= WORKERS or not spool.ledger.live())
    return order


def arrivals(scene: BucketScene, order: dict[str, int]) -> dict[str, list[int]]:
    """Return which uploads made each object, as it came about."""
    arrived: dict[str, list[int]] = defaultdict(list)
    for request in scene.requests(Kind.PUT):
        upload_id = request.metadata["uploader-id"]
        if upload_id in order and request.upstream_status == 200:
            arrived[request.key].append(order[upload_id])
    return arrived


@dataclass
class Held:
    """The first request of a kind about each of some objects, held until it is let go."""

    kinds: dict[str, Kind]  #: by the object's name
    requests: dict[str, Request] = field(default_factory=dict)
    _go: threading.Event = field(default_factory=threading.Event)

    @property
    def all_here(self) -> bool:
        """Whether all of all of them has come to the proxy."""
        return len(self.requests) == len(self.kinds) and all(
            request.body_bytes == int(request.headers.get("content-length", 0))
            for request in self.requests.values()
        )

    def arrive(self) -> None:
        """Let the service have them; return when it has answered each."""
        assert all(request.upstream_status is None for request in self.requests.values())
        self._go.set()
        wait_until(lambda: all(one.upstream_status for one in self.requests.values()))

    def decide(self, request: Request) -> Fault | None:
        """Be the proxy's `decide`."""
        for name, kind in self.kinds.items():
            if request.kind == kind and is_of(request, name) and name not in self.requests:
                self.requests[name] = request
                return Hold(self._go)
        return None


@dataclass(frozen=True)
class Late:
    """One way for an older version to be on its way while its processes are killed."""

    kind: Kind  #: of the request that is late
    create: bool = False  #: it was logged with overwrite=False
    over_first: bool = False  #: there is an object that it replaces
    superseded: bool = False  #: the newer version is logged before the next drain


LATE = {
    "put_over_nothing": Late(Kind.PUT),
    "put_over_first": Late(Kind.PUT, over_first=True),
    "put_created": Late(Kind.PUT, create=True),
    "put_superseded_over_nothing": Late(Kind.PUT, superseded=True),
    "put_superseded_over_first": Late(Kind.PUT, over_first=True, superseded=True),
    "complete_over_first": Late(Kind.COMPLETE, over_first=True),
    "complete_created": Late(Kind.COMPLETE, create=True),
}
ALIAS = "alias"
TURNED = "turned"  #: a file, then an alias, whose delete of the file is late, then a file again


@dataclass
class Aftermath:
    """What is there after all the late requests have reached the service."""

    scene: BucketScene
    held: Held
    newer: dict[str, str] = field(default_factory=dict)  #: ids of the newer versions, by name


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[Aftermath]:
    """Play all of it at once: log, hold, kill all processes, drain, overwrite, let go."""
    with FaultProxy(service.endpoint) as proxy:
        held = Held({name: late.kind for name, late in LATE.items()})
        held.kinds |= {f"{ALIAS}.symlink": Kind.PUT, TURNED: Kind.DELETE}
        scene = BucketScene(tmp_path_factory.mktemp("late"), service, proxy, part_size=IN_PARTS)
        after = Aftermath(scene, held)
        with scene.open() as spool:
            log_first(scene, spool)
            drain(scene)
            proxy.decide = held.decide
            log_older(scene, spool)
            kill_while_held(scene, held)
            log_newer(after, spool, superseding=True)
            drain(scene)
            assert_older_arrived(scene)
            log_newer(after, spool, superseding=False)
            drain(scene)
        held.arrive()
        yield after


def log_first(scene: BucketScene, spool: Spool) -> None:
    """Log what is there before, where something is."""
    for content in (OLDER, NEWER):
        spool.put_file(f"target/{content.decode()}", scene.write("source", content))
    for name, late in LATE.items():
        if late.over_first:
            spool.put_file(name, scene.write("source", FIRST))
    spool.put_file(TURNED, scene.write("source", FIRST))


def log_older(scene: BucketScene, spool: Spool) -> None:
    """Log the versions whose requests will be late."""
    for name, late in LATE.items():
        source = scene.write("source", sized(OLDER, late))
        spool.put_file(name, source, overwrite=not late.create)
    for name in (ALIAS, TURNED):
        spool.put_symlink(f"target/{OLDER.decode()}", name, overwrite=True)


def log_newer(after: Aftermath, spool: Spool, *, superseding: bool) -> None:
    """Log the newer versions of those that are superseded, or of the others."""
    for name, late in LATE.items():
        if late.superseded == superseding:
            source = after.scene.write("source", sized(NEWER, late))
            after.newer[name] = spool.put_file(name, source, overwrite=True)
    if not superseding:
        after.newer[f"{ALIAS}.symlink"] = spool.put_symlink(
            f"target/{NEWER.decode()}", ALIAS, overwrite=True
        )
        spool.put_file(TURNED, after.scene.write("source", NEWER), overwrite=True)


def sized(content: bytes, late: Late) -> bytes:
    """Make it large enough to go in parts, where it is to."""
    return content.ljust(2 * IN_PARTS if late.kind == Kind.COMPLETE else 0)


def kill_while_held(scene: BucketScene, held: Held) -> None:
    """Let a drain send all that is to be late; kill it: its workers die with it."""
    drain = scene.start("drain", "--workers", str(len(held.kinds)))
    wait_until(lambda: held.all_here or drain.poll() is not None)
    drain.kill()
    drain.wait()
    assert held.all_here, scene.log.read_text()


def drain(scene: BucketScene) -> None:
    """Upload what there is."""
    drained = scene.run("drain")
    assert drained.returncode == 0, drained.stderr


def assert_older_arrived(scene: BucketScene) -> None:
    """Each older version that was not superseded was sent once more."""
    for name, late in LATE.items():
        if not late.superseded:
            assert scene.read(name) == sized(OLDER, late)
    assert TURNED not in scene.names()
    assert scene.read(f"{ALIAS}.symlink") == f"{PREFIX}/target/{OLDER.decode()}".encode()


@pytest.mark.timeout(120)  # the first one plays it: four drains
@pytest.mark.parametrize("name", LATE)
def test_a_late_request_of_an_older_version_is_refused(aftermath: Aftermath, name: str) -> None:
    """The newer version remains; the condition of the request, or its session, is no more true."""
    in_session = LATE[name].kind == Kind.COMPLETE
    expected = aftermath.scene.service.too_late if in_session else {412}
    assert aftermath.held.requests[name].upstream_status in expected
    assert aftermath.scene.read(name) == sized(NEWER, LATE[name])
    assert aftermath.scene.owner(name) == aftermath.newer[name]


def test_a_late_request_of_an_older_alias_is_refused(aftermath: Aftermath) -> None:
    """The pointer still leads to the newer target."""
    name = f"{ALIAS}.symlink"
    assert aftermath.held.requests[name].upstream_status == 412
    assert aftermath.scene.read(name) == f"{PREFIX}/target/{NEWER.decode()}".encode()
    assert aftermath.scene.owner(name) == aftermath.newer[name]


def test_a_late_delete_of_what_an_alias_replaced_takes_no_newer_file(aftermath: Aftermath) -> None:
    """It was meant for the file before the alias, not for the one after it."""
    assert aftermath.held.requests[TURNED].upstream_status == 412
    assert aftermath.scene.read(TURNED) == NEWER


def test_a_late_copy_of_an_older_target_is_refused(
    tmp_path: Path, service: Service, proxy: FaultProxy
) -> None:
    """The alias, made as a copy, keeps the bytes of its newer target."""
    scene = BucketScene(tmp_path, service, proxy, symlink_mode="copy")
    held = Held({ALIAS: Kind.COPY})
    proxy.decide = held.decide
    with scene.open() as spool:
        for content in (OLDER, NEWER):
            spool.put_file(content.decode(), scene.write("source", content))
        spool.put_symlink(OLDER.decode(), ALIAS, overwrite=True)
        kill_while_held(scene, held)
        drain(scene)
        assert scene.read(ALIAS) == OLDER
        spool.put_symlink(NEWER.decode(), ALIAS, overwrite=True)
        drain(scene)
    held.arrive()
    assert scene.read(ALIAS) == NEWER


def test_late_requests_leave_nothing_unfinished(aftermath: Aftermath) -> None:
    """No parts of a version that will never be completed stay at the service."""
    assert aftermath.scene.unfinished() == []
