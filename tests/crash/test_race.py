"""Lets eight supervisors on eight spools create the same names at the same moment.

Promise 4: the store decides, by its own precondition, and each is told the truth.

- In every other round the proxy holds the deciding request of each racer until all eight are there,
  so that they reach the service together; the rounds between show what comes of itself.
- Whole objects: 10 rounds at SeaweedFS, where the loser of a contended put waits 1 to 2 s for a
  lock, and 50 at MiniStack. In parts: 50 at MiniStack alone; the conditional complete of SeaweedFS
  4.48 is itself wrong in a race (up to 8 are answered with 200), which no client can mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.bucket_scene import BucketScene, is_own
from tests.servers.exchange import Exchange
from tests.servers.faults import Fault
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request
from tests.servers.services import GcsService, S3Service, Service
from uploader import Upload
from uploader.errors import ErrorClass
from uploader.state import State

RACERS = 8
IN_PARTS = 1024  #: bytes; the option part_size: what is larger goes as an object in (one) part

#: Seconds that a racer waits for the others. Two that wait for each other, each at another name,
#: because one had to try again, are so let go.
PATIENCE = 5.0


@dataclass(frozen=True)
class Meet(Fault):
    """The request waits, read whole, until all racers have sent theirs for the same name."""

    all_here: asyncio.Event

    async def play(self, exchange: Exchange) -> None:
        """Read, wait, forward."""
        body = await exchange.read_body()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.all_here.wait(), PATIENCE)
        await exchange.send_late(body)


@dataclass
class Starter:
    """Sees the deciding requests of each name, and lets those of even rounds go together.

    Attributes:
        overlapped: names of which a request came while another's was not yet answered.
    """

    kind: Kind
    overlapped: set[str] = field(default_factory=set)
    _came: dict[str, list[Request]] = field(default_factory=dict)
    _all_here: dict[str, asyncio.Event] = field(default_factory=dict)

    def decide(self, request: Request) -> Fault | None:
        """Be the proxy's `decide`."""
        if request.kind != self.kind or not is_own(request):
            return None
        name = request.key.rpartition("/")[2]
        others = self._came.setdefault(name, [])
        if any(other.upstream_status is None for other in others):
            self.overlapped.add(name)
        others.append(request)
        if int(name) % 2:
            return None
        all_here = self._all_here.setdefault(name, asyncio.Event())
        if len(others) == RACERS:
            all_here.set()
        return Meet(all_here)

    @property
    def refused(self) -> int:
        """How many were refused by the service's precondition."""
        requests = itertools.chain.from_iterable(self._came.values())
        return sum(request.upstream_status == 412 for request in requests)


@pytest.fixture(
    params=[
        "whole-seaweed",
        "whole-ministack",
        "parts-ministack",
        "whole-strict_gcs",
        "parts-strict_gcs",
    ]
)
def how(request: pytest.FixtureRequest) -> str:
    """Return how the objects are put, and where."""
    return str(request.param)


@pytest.fixture
def service(how: str, request: pytest.FixtureRequest) -> Service:
    """Return the service that decides."""
    server = request.getfixturevalue(how.partition("-")[2])
    return GcsService(server) if how.endswith("gcs") else S3Service(server)


@pytest.fixture
def proxy(service: Service) -> Iterator[FaultProxy]:
    """Stand before it."""
    with FaultProxy(service.endpoint) as proxy:
        yield proxy


@pytest.mark.timeout(180)  # eight drains on two cores
def test_of_eight_nodes_that_create_a_name_exactly_one_is_told_that_it_did(
    tmp_path: Path, service: Service, proxy: FaultProxy, how: str
) -> None:
    """Its object is there; the seven others have a dead letter that says why; nothing else is."""
    in_parts = how.startswith("parts")
    rounds = 10 if how == "whole-seaweed" else 50
    kind = Kind.COMPLETE if in_parts else Kind.PUT
    scenes = filled(tmp_path, service, proxy, rounds, in_parts=in_parts)
    starter = Starter(kind)
    proxy.decide = starter.decide

    drains = [scene.start("drain", "--workers", "1") for scene in scenes]
    codes = [drain.wait() for drain in drains]

    assert set(codes) <= {0, 3}, [scene.log.read_text() for scene in scenes]
    outcomes = [outcome_of(scene) for scene in scenes]
    for number in range(rounds):
        entries = [outcome[str(number)] for outcome in outcomes]
        winner = winner_of(entries)
        assert scenes[0].owner(str(number)) == entries[winner].id
        assert scenes[0].read(str(number)) == content(winner, number, in_parts=in_parts)
    assert scenes[0].names() == set(map(str, range(rounds)))
    assert scenes[0].unfinished() == []
    # else nothing was decided by the service
    print(f"contended: {len(starter.overlapped)} of {rounds}; refused: {starter.refused}")
    assert len(starter.overlapped) >= rounds // 2
    assert starter.refused >= len(starter.overlapped)


def winner_of(entries: list[Upload]) -> int:
    """Return which one is done; each of the others must know that it lost, and why."""
    states = [entry.state for entry in entries]
    assert sorted(states) == [State.DEAD] * (RACERS - 1) + [State.DONE], entries[0].name
    for entry in entries:
        if entry.state is State.DEAD:
            assert entry.error_class is ErrorClass.CONFLICT, entry.error
            assert "already exists" in str(entry.error)
    return states.index(State.DONE)


def filled(
    folder: Path, service: Service, proxy: FaultProxy, rounds: int, *, in_parts: bool
) -> list[BucketScene]:
    """Return eight spools that all have the same names to upload, with bytes of their own."""
    bucket = service.make_bucket()
    options = {"part_size": IN_PARTS} if in_parts else {}
    scenes = []
    for racer in range(RACERS):
        scene = BucketScene(folder / str(racer), service, proxy, bucket, **options)
        with scene.open() as spool:
            for number in range(rounds):
                data = content(racer, number, in_parts=in_parts)
                spool.put_file(str(number), scene.write("source", data))
        scenes.append(scene)
    return scenes


def content(racer: int, number: int, *, in_parts: bool) -> bytes:
    """Return what a racer puts in a round."""
    return f"round {number}, racer {racer}".encode().ljust(2 * IN_PARTS if in_parts else 0)


def outcome_of(scene: BucketScene) -> dict[str, Upload]:
    """Return what became of each name in a spool."""
    with scene.open() as spool:
        return {upload.name: upload for upload in spool.uploads()}
