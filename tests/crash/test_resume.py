"""Kills a large upload again and again; counts at a proxy what was sent more than once.

Promise 6, in bytes. A kill falls where the proxy has counted so many bytes, chosen at random: the
seed is printed with a failure, and `UPLOADER_TEST_SEED` repeats it.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import pytest

from tests.crash.bucket_scene import PREFIX, BucketScene, wait_until
from tests.crash.processes import kill, workers_of
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Request
from tests.servers.services import Service, service_of

MIB = 1 << 20
WORKERS = 4
NAME = "checkpoint"
#: Bytes at most beside the part in a request that stores a part as an object of its own.
FRAME = 2048


@dataclass(frozen=True)
class Way:
    """One way for a large file to go."""

    scheme: str
    size: int  #: bytes
    part: int = 16 * MIB  #: bytes; what such files are cut into unless asked otherwise
    at_once: int = WORKERS  #: parts that are under way
    kills: int = 5


WAYS = {
    "s3": Way("s3", 1024 * MIB, kills=10),
    "gs-session": Way("gs", 120 * MIB, 2 * MIB, at_once=1),
    "gs-parts": Way("gs", 512 * MIB),  # each an object; they are put together
}


#: Whom a kill may hit is the same for all ways: it is tried in full once.
CASES = [
    *(("s3", victims) for victims in ("worker", "supervisor", "both")),
    *(("gs-session", victims) for victims in ("worker", "both")),
    ("gs-parts", "both"),
]


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest) -> Way:
    """Return how the file goes."""
    return WAYS[request.param]


@pytest.fixture(scope="module")
def service(way: Way, request: pytest.FixtureRequest) -> Service:
    """Return where it goes to."""
    return service_of(way.scheme, request)


@dataclass(frozen=True)
class Source:
    """A large file, and the CRC32C that its object must have."""

    path: Path
    size: int  #: bytes
    crc32c: int


@pytest.fixture(scope="module")
def source(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Make a file in which no two MiB are the same."""
    path, size = tmp_path_factory.mktemp("source") / "source", way.size
    block = random.Random(6).randbytes(MIB - 8)
    checksum = 0
    with path.open("wb") as file:
        for number in range(size // MIB):
            data = number.to_bytes(8, "big") + block
            checksum = google_crc32c.extend(checksum, data)
            file.write(data)
    yield Source(path, size, checksum)
    path.unlink()


@pytest.fixture
def scene(tmp_path: Path, way: Way, service: Service) -> Iterator[BucketScene]:
    """Return a spool that uploads through a proxy."""
    with FaultProxy(service.endpoint) as proxy:
        yield BucketScene(tmp_path, service, proxy, part_size=way.part)


@dataclass
class Watch:
    """What was sent, and what the ledger had of it: looked at for each part and after each kill."""

    scene: BucketScene
    upload_id: str
    part: int  #: bytes
    requests: list[Request] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    recorded: set[int] = field(default_factory=set)
    sent_again: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look on at the proxy."""
        self._spool = self.scene.open(producer=False)
        self.scene.proxy.decide = self._see

    @property
    def sent(self) -> int:
        """The bytes of parts that were sent so far, cut ones included."""
        return sum(request.body_bytes for request in self.requests)

    def look(self) -> None:
        """Take down which parts are recorded: from now on none of them may be sent."""
        upload = self._spool.upload(self.upload_id)
        self.recorded |= {part.number for part in self._spool.ledger.parts(upload.seq)}

    def close(self) -> None:
        """Look no more."""
        self.scene.proxy.decide = lambda _: None
        self._spool.close()

    def _see(self, request: Request) -> None:
        service = self.scene.service
        if session := service.brings(request, f"{PREFIX}/{NAME}", self.upload_id):
            self.requests.append(request)
            self.sessions.add(session)
            self.look()
            number = service.number_of(request, self.part)
            if number in self.recorded:
                self.sent_again.append(number)


class Killer:
    """A drain that is killed, and started again where nothing is left of it."""

    def __init__(self, scene: BucketScene, victims: str, chance: random.Random) -> None:
        self._scene, self._victims, self._chance = scene, victims, chance
        self.drain = self._start()

    @property
    def workers(self) -> list[int]:
        """The drain's worker processes."""
        return workers_of(self.drain.pid)

    def kill(self) -> None:
        """Kill a worker, the supervisor, or both; have a drain that runs afterwards."""
        workers = self.workers
        if self._victims != "worker":
            assert kill(self.drain.pid)
        if self._victims != "supervisor":
            kill(self._chance.choice(workers))
        if self._victims != "worker":
            self.drain.wait()

    def go_on(self) -> None:
        """Start a drain if there is none."""
        if self.drain.poll() is not None:
            self.drain = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return self._scene.start("drain", "--workers", str(WORKERS))


@pytest.mark.timeout(180)  # a gibibyte through two processes, eleven starts of a drain
@pytest.mark.parametrize(("way", "victims"), CASES, indirect=["way"])
def test_a_killed_upload_goes_on_from_its_last_part(
    scene: BucketScene, way: Way, source: Source, victims: str
) -> None:
    """At most the parts in flight at each kill are sent again, and none that was recorded.

    The object is whole: the service's own CRC32C of it is that of the file.
    """
    seed = int(os.environ.get("UPLOADER_TEST_SEED") or random.randrange(1 << 32))
    print(f"UPLOADER_TEST_SEED={seed}")
    chance = random.Random(seed)
    with scene.open() as spool:
        upload_id = spool.put_file(NAME, source.path)
    watch = Watch(scene, upload_id, way.part)
    killer = Killer(scene, victims, chance)
    try:
        # each kill waits for one more part to begin: there must be as many left
        kills = (chance.randrange(source.size - way.kills * way.part) for _ in range(way.kills))
        for threshold in sorted(kills):
            # what was still in the sockets of the last victims is counted too: a new part, and
            # somebody to kill, show that the upload goes on
            begun = len(watch.requests)
            wait_until(
                lambda: (
                    watch.sent >= threshold  # noqa: B023 - used before it changes
                    and len(watch.requests) > begun  # noqa: B023 - the same
                    and killer.workers
                )
            )
            killer.kill()
            watch.look()
            killer.go_on()
        assert killer.drain.wait() == 0, scene.log.read_text()
    finally:
        killer.drain.kill()
        watch.close()

    assert len(watch.recorded) >= source.size // way.part // 2  # else the next line shows nothing
    assert watch.sent_again == []
    lost = way.kills * (1 if victims == "worker" else way.at_once)
    assert source.size <= watch.sent <= source.size + lost * way.part + len(watch.requests) * FRAME
    assert len(watch.sessions) == 1

    described = scene.describe(NAME)
    assert (described.size, described.crc32c) == (source.size, source.crc32c)
    assert scene.owner(NAME) == upload_id
    assert scene.unfinished() == []
    assert scene.names() == {NAME}
