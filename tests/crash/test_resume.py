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

from tests.crash.bucket_scene import BucketScene, is_of, wait_until
from tests.crash.processes import kill, workers_of
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Request
from tests.servers.services import Service

SIZES = {"s3": 1 << 30, "gs": 512 << 20}  #: bytes
PART = 16 << 20  #: bytes; what such a file is cut into unless asked otherwise
WORKERS = 4
#: Parts that are under way at once: those of a session of GCS go one after another.
AT_ONCE = {"s3": WORKERS, "gs": 1}
KILLS = 10
NAME = "checkpoint"
MIB = 1 << 20


@dataclass(frozen=True)
class Source:
    """A large file, and the CRC32C that its object must have."""

    path: Path
    size: int  #: bytes
    crc32c: int


@pytest.fixture(scope="module")
def source(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Make a file in which no two MiB are the same."""
    path, size = tmp_path_factory.mktemp("source") / "source", SIZES[service.scheme]
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
def proxy(service: Service) -> Iterator[FaultProxy]:
    """Stand before the service."""
    with FaultProxy(service.endpoint) as proxy:
        yield proxy


@dataclass
class Watch:
    """What was sent, and what the ledger had of it: looked at for each part and after each kill."""

    scene: BucketScene
    upload_id: str
    requests: list[Request] = field(default_factory=list)
    recorded: set[int] = field(default_factory=set)
    sent_again: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look on at the proxy."""
        self._spool = self.scene.open(producer=False)
        self.scene.proxy.decide = self._see

    @property
    def sent(self) -> int:
        """The bytes of parts that were sent so far, cut ones included."""
        return sum(map(self.scene.service.length, self.requests))

    def look(self) -> None:
        """Take down which parts are recorded: from now on none of them may be sent."""
        upload = self._spool.upload(self.upload_id)
        self.recorded |= {part.number for part in self._spool.ledger.parts(upload.seq)}

    def close(self) -> None:
        """Look no more."""
        self.scene.proxy.decide = lambda _: None
        self._spool.close()

    def _see(self, request: Request) -> None:
        if request.kind in self.scene.service.content and is_of(request, NAME):
            self.requests.append(request)
            self.look()
            number = self.scene.service.number_of(request, PART)
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
@pytest.mark.parametrize("victims", ["worker", "supervisor", "both"])
def test_a_killed_upload_goes_on_from_its_last_part(
    tmp_path: Path, service: Service, proxy: FaultProxy, source: Source, victims: str
) -> None:
    """At most the parts in flight at each of ten kills are sent again, and none that was recorded.

    The object is whole: the service's own CRC32C of it is that of the file.
    """
    seed = int(os.environ.get("UPLOADER_TEST_SEED") or random.randrange(1 << 32))
    print(f"UPLOADER_TEST_SEED={seed}")
    chance = random.Random(seed)
    scene = BucketScene(tmp_path, service, proxy)
    with scene.open() as spool:
        upload_id = spool.put_file(NAME, source.path)
    watch = Watch(scene, upload_id)
    killer = Killer(scene, victims, chance)
    try:
        # each kill waits for one more part to begin: there must be as many left
        kills = (chance.randrange(source.size - KILLS * PART) for _ in range(KILLS))
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

    assert len(watch.recorded) >= source.size // PART // 2  # else the next line shows nothing
    assert watch.sent_again == []
    lost = KILLS * (1 if victims == "worker" else AT_ONCE[service.scheme])
    assert source.size <= watch.sent <= source.size + lost * PART
    assert len({part.session for part in watch.requests}) == 1

    described = scene.describe(NAME)
    assert (described.size, described.crc32c) == (source.size, source.crc32c)
    assert scene.owner(NAME) == upload_id
    assert scene.unfinished() == []
    assert scene.names() == {NAME}
