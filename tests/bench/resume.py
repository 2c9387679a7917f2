"""Measures what is sent again after a kill at half of a large file, ours beside other tools.

- A proxy counts the bytes that clients send of the object, cut requests included. What exceeds the
  file's size was sent again. Headers, and the few bytes by which a client frames a body, count not
  and hardly: a part in a thousand.
- SIGKILL comes when half of the file has been sent: to all processes of the client at once, which
  is then started again by the same command; ours also to one worker alone, and nobody starts
  anything.
- Unanswered is what the requests were to send that had no answer at the kill.
- Ours must not send more again than the parts in flight: one for each killed worker. A part is in
  flight until it is recorded, a moment after its answer.
- Behind the proxy is the sink without TLS, which answers as S3 does, parts' list included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import installed, peers, services
from tests.bench.drain import write
from tests.bench.measure import GIB, MIB, Result, Target
from tests.bench.peers import Job
from tests.crash.processes import kill, workers_of
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.servers.requests import Request
    from tests.servers.s3_server import S3Server

SIZE = 2 * GIB
NAME = "checkpoint"
PREFIX = "run"
OTHERS = ("s5cmd", "rclone", "boto3-8-threads", "aws-cli")  #: of `peers.TOOLS`
ROUNDS = 1  #: of each: bytes hardly vary
LIMIT = 600.0  #: seconds for half of it
POLL = 0.002  #: seconds between looks at what was sent; some MiB pass meanwhile

_COUNTED = (Kind.PUT, Kind.PART)


def run(folder: Path, rounds: int, workers: int, share: float) -> Result:
    """Kill each client once a round, at half of `share` of the size."""
    size = int(SIZE * share)
    result = Result(f"resume (1 x {size / MIB:.0f} MiB, {workers} workers)")
    tools, result.absent = peers.install([one for one in peers.TOOLS if one.name in OTHERS])
    sources = folder / "sources"
    sources.mkdir()
    write(sources / NAME, size)
    with services.SERVERS["sink-http"](folder / "server") as server:
        for number in range(rounds):
            for name, kill_some, killed in (
                ("uploader, all killed", _kill_all, workers),
                ("uploader, a worker killed", _kill_worker, 1),
            ):
                spool = folder / f"spool-{number}-{kill_some.__name__}"
                with _watched(server, size) as watch:
                    command = _ours(spool, sources / NAME, watch, workers)
                    again, unanswered = watch.sent_again(folder, command, kill_some)
                    limit = killed * watch.part
                result.notes.append(_told(name, again, unanswered))
                result.targets.append(
                    Target(f"{name}: sent again", again / MIB, limit / MIB, "MiB")
                )
            for tool in tools:
                with _watched(server, size) as watch:
                    command = tool.command(Job(sources, watch.endpoint, watch.bucket, PREFIX))
                    again, unanswered = watch.sent_again(folder, command, _kill_all)
                result.notes.append(_told(f"{tool.name}, all killed", again, unanswered))
    return result


def _told(name: str, again: int, unanswered: int) -> str:
    return f"{name:<28} {again / MIB:6.0f} MiB sent again, {unanswered / MIB:4.0f} unanswered"


def _ours(spool: Path, source: Path, watch: _Watch, workers: int) -> list[str]:
    """Spool the file; return the command that uploads it."""
    url = f"s3://{watch.bucket}/{PREFIX}?endpoint={watch.endpoint}"
    with Spool(spool, url, producer=False) as filled:
        filled.put_file(NAME, source)
    return installed.drain(spool, "--workers", str(workers))


@contextmanager
def _watched(server: S3Server, size: int) -> Iterator[_Watch]:
    with FaultProxy(server.endpoint) as proxy:
        bucket = f"bench-{uuid.uuid4().hex}"
        server.client().create_bucket(Bucket=bucket)
        yield _Watch(server, proxy, bucket, size)


@dataclass
class _Watch:
    """A proxy that counts, and a bucket behind it for one client alone."""

    _server: S3Server
    _proxy: FaultProxy
    bucket: str
    size: int

    @property
    def endpoint(self) -> str:
        """The proxy's."""
        return self._proxy.endpoint

    @property
    def part(self) -> int:
        """The bytes of a part."""
        return max(map(_length, self._requests()))

    def sent_again(
        self, folder: Path, command: Sequence[str], kill_some: Callable[[int], None]
    ) -> tuple[int, int]:
        """Run, kill, run again; return the bytes sent again, and those unanswered at the kill."""
        environment = installed.environment(
            folder, services.environment(self._server.at(self.endpoint))
        )
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                self._wait_for_half(process)
                kill_some(process.pid)
                open_at_kill = [one for one in self._requests() if one.status is None]
                code = process.wait(LIMIT)
            except BaseException:
                _kill_all(process.pid)
                raise
            if code == -signal.SIGKILL:
                code = subprocess.call(command, env=environment, stdout=log, stderr=log)
        if code:
            raise AssertionError(f"ended with {code}: {' '.join(command)}; see {folder / 'log'}")
        self._require_whole()
        return self._sent() - self.size, sum(map(_length, open_at_kill))

    def _wait_for_half(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + LIMIT
        while self._sent() < self.size / 2:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"half was not sent, after: {process.args!r}")
            time.sleep(POLL)

    def _sent(self) -> int:
        return sum(one.body_bytes for one in self._requests())

    def _requests(self) -> Iterator[Request]:
        for one in self._proxy.requests:
            if one.kind in _COUNTED and one.key == f"{PREFIX}/{NAME}":
                yield one

    def _require_whole(self) -> None:
        key = f"{PREFIX}/{NAME}"
        found = self._server.client().head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        if found != self.size:
            raise AssertionError(f"{found} bytes arrived, not {self.size}")


def _length(request: Request) -> int:
    return int(request.headers.get("content-length", 0))


def _kill_all(pid: int) -> None:
    """Kill the whole session: nobody of it has time to notice."""
    os.killpg(pid, signal.SIGKILL)


def _kill_worker(pid: int) -> None:
    kill(workers_of(pid)[0])
