"""Measures how fast a spool drains to S3, beside tools that upload the same files, on one server.

- The spool is filled before, and copied before each round; what is on the clock is `uploader drain`
  from its start to its exit: what it records of each upload, and its own end, included. The others
  record nothing, and begin again after a kill.
- Its destination was tried before, as a spool's first upload does once in its life; that it may
  write there is asked on the clock, as at each start.
- All read files that the page cache holds, and write into a bucket of their own, new each time.
- A run counts only if every file arrived whole: the bucket's list has to say so.
- The server is another process on the same cores: what it takes, the clients do not have, and its
  own CPU and memory are in no figure. `sink` takes next to nothing, and so shows the client alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import peers
from tests.bench.blocking import name_of
from tests.bench.drain import SETS
from tests.bench.measure import Peer, Result, Work, take_turns
from tests.bench.metering import Cost, metered
from tests.bench.peers import Job, Tool
from tests.servers.leash import LeashedProcess, free_ports, start_again_if_taken
from tests.servers.s3_server import S3Server
from tests.servers.seaweed import seaweed_running
from uploader import Spool
from uploader.place import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

ROUNDS = 5
PREFIX = "run"  #: below which the artifacts are, in each bucket
CHUNK = 1 << 20  #: bytes written at a time
DELETED = 1000  #: keys that one request may delete

NOTES = (
    "ratio and over: to uploader drain, within each round",
    "CPU: user and system time of all processes of the client, not of the server on the same cores",
    "peak: proportional memory of all processes of the client, the most of all rounds",
)

_OURS = "uploader drain"
_SETTINGS = (
    "AWS_",
    "RCLONE_",
    "S3_",
    "UPLOADER_",
)  #: variables of this machine's that must not act


def run(folder: Path, rounds: int, workers: int, share: float, server: str) -> Result:
    """Upload each set to `server`; `share` of its files (of its bytes, for a single file)."""
    result = Result(f"s3 ({server}, {workers} workers)")
    tools, result.absent = peers.install(peers.TOOLS)
    with SERVERS[server](folder / "server") as running:
        for work in _works(share):
            place = folder / f"{work.files}x{work.size}"
            case = _Case(place, work, running, workers)
            case.fill(tried=server == "sink")
            label = f"{work.files} x {name_of(work.size)}"
            result.add(take_turns(label, case.peers(tools), rounds, work))
            shutil.rmtree(place)
    result.notes = list(NOTES)
    return result


def _works(share: float) -> Iterator[Work]:
    for files, size in SETS:
        few = max(1, int(files * share))
        yield Work(few, size if files > 1 else max(1, int(size * share)))


class _Case:
    """The same files for everybody: in a folder, and in a spool."""

    def __init__(self, place: Path, work: Work, server: S3Server, workers: int) -> None:
        self._work, self._server, self._workers = work, server, workers
        self._sources, self._filled, self._spool, self._log = (
            place / name for name in ("sources", "filled", "spool", "log")
        )
        self._environment = _environment(server)
        self._job = Job(self._sources, server.endpoint, "", PREFIX)

    def fill(self, *, tried: bool) -> None:
        """Write the files, and spool them; `tried`: believe that the server is as S3."""
        self._sources.mkdir(parents=True)
        for number in range(self._work.files):
            _write(self._sources / f"{number:05d}", self._work.size)
        self._new_bucket()
        with Spool(self._filled, self._url, options={"endpoint": self._server.endpoint}) as spool:
            if tried:
                spool.remembered.capabilities = Capabilities(self._server.endpoint)
            else:
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

        return [Peer(_OURS, drain, self._prepare_spool, clean), *map(by, tools)]

    # -- a run ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._new_bucket()
        os.sync()

    def _prepare_spool(self) -> None:
        """Copy the spool, and point the copy to a new bucket."""
        self._new_bucket()
        subprocess.run(["cp", "-a", str(self._filled), str(self._spool)], check=True)
        with Spool(self._spool, producer=False) as spool:
            spool.remembered.put("destination", self._url)
        os.sync()

    def _drain(self, spool: Path) -> list[str]:
        command = [sys.executable, "-m", "uploader", "drain"]
        return [*command, "--spool", str(spool), "--workers", str(self._workers)]

    def _measure(self, command: list[str]) -> Cost:
        cost = self._metered(command)
        sizes = [found["Size"] for found in self._objects(f"{PREFIX}/")]
        if sizes != [self._work.size] * self._work.files:
            msg = f"{len(sizes)} objects of {sum(sizes)} bytes arrived, after: {' '.join(command)}"
            raise AssertionError(msg)
        return cost

    def _metered(self, command: list[str]) -> Cost:
        return metered(command, self._environment, self._log)

    # -- its bucket -----------------------------------------------------------------------------

    @property
    def _url(self) -> str:
        return f"s3://{self._job.bucket}/{PREFIX}"

    def _new_bucket(self) -> None:
        """Make one, and put an object: a server may make room for a bucket at its first."""
        bucket = self._server.make_bucket()
        self._server.client().put_object(Bucket=bucket, Key="first", Body=b"")
        self._job = Job(self._sources, self._server.endpoint, bucket, PREFIX)

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


@contextmanager
def _seaweed(folder: Path) -> Iterator[S3Server]:
    with seaweed_running(folder) as servers:
        yield servers.http


@contextmanager
def _sink(folder: Path) -> Iterator[S3Server]:
    folder.mkdir()
    process, server = start_again_if_taken(lambda: _start_sink(folder))
    try:
        yield server
    finally:
        process.kill()


def _start_sink(folder: Path) -> tuple[LeashedProcess, S3Server]:
    (port,) = free_ports(1)
    checkout = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "tests.bench.sink", str(port)]
    process = LeashedProcess(command, folder, {"PYTHONPATH": str(checkout)})
    server = S3Server(f"http://127.0.0.1:{port}", "benchmark", "not looked at")
    try:
        process.wait_until(server.answers)
    except BaseException:
        process.kill()
        raise
    return process, server


SERVERS: dict[str, Callable[[Path], AbstractContextManager[S3Server]]] = {
    "seaweed": _seaweed,
    "sink": _sink,
}


def _environment(server: S3Server) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**ours, **server.environment(), "AWS_ENDPOINT_URL": server.endpoint}


def _write(path: Path, size: int) -> Path:
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - start)))
    return path
