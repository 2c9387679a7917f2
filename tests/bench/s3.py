"""Measures how fast a spool drains to S3, beside tools that upload the same files, on one server.

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
from typing import TYPE_CHECKING, Any

from tests.bench import goals, installed, peers, services
from tests.bench.blocking import name_of
from tests.bench.measure import Peer, Result, Work, take_turns
from tests.bench.metering import CommandFailedError, Cost, metered
from tests.bench.peers import Job, Tool
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.servers.s3_server import S3Server

SERVERS = services.SERVERS
DEFAULT = ("sink", "seaweed")  #: servers
SETS = (goals.SMALL, goals.MIDDLE, goals.LARGE)
PEERS = tuple(tool.name for tool in peers.TOOLS)
USUAL = tuple(tool.name for tool in peers.TOOLS if not tool.large)
ROUNDS = 5
PREFIX = "run"  #: below which the artifacts are, in each bucket
CHUNK = 1 << 20  #: bytes written at a time
DELETED = 1000  #: keys that one request may delete

NOTES = (
    "ratio and over: to uploader drain, within each round",
    "CPU: user and system time of all processes of the client, not of the server on the same cores",
    "peak: proportional memory of all processes of the client, the most of all rounds",
)

OURS = "uploader"  #: what `uploader drain` is called beside the others


@dataclass(frozen=True)
class Chosen:
    """What is to be measured."""

    servers: Sequence[str] = DEFAULT
    cases: Sequence[tuple[int, int]] = SETS  #: files, bytes of each
    peers: Sequence[str] = USUAL
    rounds: int = ROUNDS
    workers: int = 4
    share: float = 1.0  #: of the files; of the bytes, for a single file


def run(folder: Path, chosen: Chosen) -> Result:
    """Upload each set to each server by each of the peers that can be had."""
    result = Result(f"s3 ({chosen.workers} workers)")
    wanted = [tool for tool in peers.TOOLS if tool.name in chosen.peers]
    tools, result.absent = peers.install(wanted)
    for server in chosen.servers:
        with SERVERS[server](folder / server) as running:
            environment = installed.environment(folder, services.environment(running))
            for files, size in chosen.cases:
                work = _scaled(files, size, chosen.share)
                title = f"{server}: {work.files} x {name_of(work.size)}"
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    case = _Case(Path(place), work, running, environment, chosen.workers)
                    case.fill()
                    turns = case.peers(tools)
                    series = take_turns(title, turns, chosen.rounds, work, result.absent)
                result.add(series)
                result.targets += goals.targets(server, (files, size), series)
    result.notes = [*NOTES, *map(services.described, chosen.servers)]
    return result


def _scaled(files: int, size: int, share: float) -> Work:
    few = max(1, int(files * share))
    return Work(few, size if files > 1 else max(1, int(size * share)))


class _Case:
    """The same files for everybody: in a folder, and in a spool."""

    def __init__(
        self, place: Path, work: Work, server: S3Server, environment: dict[str, str], workers: int
    ) -> None:
        self._work, self._server, self._workers = work, server, workers
        self._sources, self._filled, self._spool, self._log = (
            place / name for name in ("sources", "filled", "spool", "log")
        )
        self._environment = environment
        bucket = f"bench-{uuid.uuid4().hex}"
        self._job = Job(self._sources, server.endpoint, bucket, PREFIX)
        self._url = f"s3://{bucket}/{PREFIX}"

    def fill(self) -> None:
        """Write the files, and spool them, after a first upload for which the server is tried."""
        self._sources.mkdir(parents=True)
        for number in range(self._work.files):
            _write(self._sources / f"{number:05d}", self._work.size)
        self._new_bucket()
        with Spool(self._filled, self._url, options={"endpoint": self._server.endpoint}) as spool:
            spool.put_file("first", _write(self._filled.parent / "first", 1))
            self._metered(self._drain(self._filled))
            for source in sorted(self._sources.iterdir()):
                spool.put_file(source.name, source)
        self._remove_bucket()

    def peers(self, tools: list[Tool]) -> list[Peer]:
        """Return ours, which the others are compared to, and the others."""

        def by(tool: Tool) -> Peer:
            return Peer(
                tool.name,
                lambda: self._measure(tool.command(self._job)),
                self._prepare,
                self._remove_bucket,
            )

        def clean() -> None:
            shutil.rmtree(self._spool)
            self._remove_bucket()

        def drain() -> Cost:
            return self._measure(self._drain(self._spool))

        return [Peer(OURS, drain, self._prepare_spool, clean), *map(by, tools)]

    # -- a run ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._new_bucket()
        os.sync()

    def _prepare_spool(self) -> None:
        subprocess.run(["cp", "-a", str(self._filled), str(self._spool)], check=True)
        self._prepare()

    def _drain(self, spool: Path) -> list[str]:
        return installed.drain(spool, "--workers", str(self._workers))

    def _measure(self, command: list[str]) -> Cost:
        cost = self._metered(command)
        sizes = [found["Size"] for found in self._objects(f"{PREFIX}/")]
        if sizes != [self._work.size] * self._work.files:
            msg = f"{len(sizes)} objects of {sum(sizes)} bytes arrived, after: {' '.join(command)}"
            raise CommandFailedError(msg)
        return cost

    def _metered(self, command: list[str]) -> Cost:
        return metered(command, self._environment, self._log)

    # -- its bucket -----------------------------------------------------------------------------

    def _new_bucket(self) -> None:
        """Make it anew, and put an object: a server may make room for a bucket at its first."""
        client, bucket = self._server.client(), self._job.bucket
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="first", Body=b"")

    def _remove_bucket(self) -> None:
        client, bucket = self._server.client(), self._job.bucket
        keys = [{"Key": found["Key"]} for found in self._objects("")]
        for first in range(0, len(keys), DELETED):
            some = {"Objects": keys[first : first + DELETED], "Quiet": True}
            client.delete_objects(Bucket=bucket, Delete=some)
        client.delete_bucket(Bucket=bucket)

    def _objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._server.client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._job.bucket, Prefix=prefix):
            yield from page.get("Contents", [])


def _write(path: Path, size: int) -> Path:
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - start)))
    return path
