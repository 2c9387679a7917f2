"""Measures how fast a spool drains to a bucket, beside tools that upload the same files.

- The spool is filled before, and copied before each round; what is on the clock is `uploader drain`
  from its start to its exit: what it records of each upload, and its own end, included. The others
  record nothing, and begin again after a kill.
- Its destination was tried before, as a spool's first upload does once in its life; that it may
  write there is asked on the clock, as at each start.
- All read files that the page cache holds, and write into a bucket of their own, new each time.
- A run counts only if every file arrived whole: the bucket's list has to say so. A peer that fails
  has no figures in that case, and its reason is told; where ours fails, the benchmark does.
- The server is another process on the same cores: what it takes, the clients do not have, and its
  own CPU and memory are in no figure. `sink` takes little, and so shows the client alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import goals, installed, peers, services
from tests.bench.blocking import name_of
from tests.bench.measure import Peer, Result, Work, take_turns
from tests.bench.metering import CommandFailedError, Cost, metered
from tests.bench.peers import Job, Tool
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tests.bench.rooms import Room

ROUNDS = 5
PREFIX = "run"  #: below which the artifacts are, in each bucket
CHUNK = 1 << 20  #: bytes written at a time

NOTES = (
    "ratio and over: to uploader drain, within each round",
    "CPU: user and system time of all processes of the client, not of the server on the same cores",
    "peak: proportional memory of all processes of the client, the most of all rounds",
)

OURS = "uploader"  #: what `uploader drain` is called beside the others


@dataclass(frozen=True)
class Chosen:
    """What is to be measured."""

    servers: Sequence[str]
    cases: Sequence[tuple[int, int]]  #: files, bytes of each
    peers: Sequence[str]
    rounds: int = ROUNDS
    workers: int = 4
    share: float = 1.0  #: of the files; of the bytes, for a single file


@dataclass(frozen=True)
class Kind:
    """A kind of service, the servers that stand for it, and who uploads to it."""

    name: str
    servers: Mapping[str, Callable[[Path], AbstractContextManager[Room]]]
    tools: Sequence[Tool]
    goals: Sequence[goals.Goal] = ()


def run(folder: Path, kind: Kind, chosen: Chosen) -> Result:
    """Upload each set to each server by each of the peers that can be had."""
    result = Result(f"{kind.name} ({chosen.workers} workers)")
    wanted = [tool for tool in kind.tools if tool.name in chosen.peers]
    tools, result.absent = peers.install(wanted)
    for server in chosen.servers:
        with kind.servers[server](folder / server) as room:
            environment = installed.environment(folder, room.environment())
            for files, size in chosen.cases:
                work = _scaled(files, size, chosen.share)
                title = f"{server}: {work.files} x {name_of(work.size)}"
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    case = _Case(Path(place), work, room, environment, chosen.workers)
                    case.fill()
                    turns = case.peers([tool for tool in tools if tool.suits(files)])
                    series = take_turns(title, turns, chosen.rounds, work, result.absent)
                result.add(series)
                result.targets += goals.targets(server, (files, size), series, kind.goals)
    result.notes = [*NOTES, *map(services.described, chosen.servers)]
    return result


def _scaled(files: int, size: int, share: float) -> Work:
    few = max(1, int(files * share))
    return Work(few, size if files > 1 else max(1, int(size * share)))


class _Case:
    """The same files for everybody: in a folder, and in a spool."""

    def __init__(
        self, place: Path, work: Work, room: Room, environment: dict[str, str], workers: int
    ) -> None:
        self._work, self._room, self._workers = work, room, workers
        self._sources, self._filled, self._spool, self._log = (
            place / name for name in ("sources", "filled", "spool", "log")
        )
        self._environment = environment
        bucket = f"bench-{uuid.uuid4().hex}"
        self._job = Job(self._sources, room.endpoint, bucket, PREFIX)
        self._url = f"{room.scheme}://{bucket}/{PREFIX}"

    def fill(self) -> None:
        """Write the files, and spool them, after a first upload for which the server is tried."""
        self._sources.mkdir(parents=True)
        for number in range(self._work.files):
            _write(self._sources / f"{number:05d}", self._work.size)
        self._room.make(self._job.bucket)
        with Spool(self._filled, self._url, options={"endpoint": self._room.endpoint}) as spool:
            spool.put_file("first", _write(self._filled.parent / "first", 1))
            self._metered(self._drain(self._filled))
            for source in sorted(self._sources.iterdir()):
                spool.put_file(source.name, source)
        self._room.remove(self._job.bucket)

    def peers(self, tools: list[Tool]) -> list[Peer]:
        """Return ours, which the others are compared to, and the others."""

        def remove() -> None:
            self._room.remove(self._job.bucket)

        def by(tool: Tool) -> Peer:
            return Peer(
                tool.name,
                lambda: self._measure(tool.command(self._job)),
                self._prepare,
                remove,
            )

        def clean() -> None:
            shutil.rmtree(self._spool)
            remove()

        def drain() -> Cost:
            return self._measure(self._drain(self._spool))

        return [Peer(OURS, drain, self._prepare_spool, clean), *map(by, tools)]

    def _prepare(self) -> None:
        self._room.make(self._job.bucket)
        os.sync()

    def _prepare_spool(self) -> None:
        subprocess.run(["cp", "-a", str(self._filled), str(self._spool)], check=True)
        self._prepare()

    def _drain(self, spool: Path) -> list[str]:
        return installed.drain(spool, "--workers", str(self._workers))

    def _measure(self, command: list[str]) -> Cost:
        cost = self._metered(command)
        sizes = self._room.sizes(self._job.bucket, f"{PREFIX}/")
        if sizes != [self._work.size] * self._work.files:
            msg = f"{len(sizes)} objects of {sum(sizes)} bytes arrived, after: {' '.join(command)}"
            raise CommandFailedError(msg)
        return cost

    def _metered(self, command: list[str]) -> Cost:
        return metered(command, self._environment, self._log)


def _write(path: Path, size: int) -> Path:
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - start)))
    return path
