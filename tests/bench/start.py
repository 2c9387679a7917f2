"""Measures how long `uploader drain` takes when there is nothing to upload, or next to nothing.

- Beside `python -c pass`, which is the least that any such command takes.
- The empty spool that goes to S3 names an endpoint that refuses connections: exit code 0 shows
  that no service is asked when there is nothing to send.
- One small file, to a directory and to S3: what the workers' start, the question whether one may
  write there, and the records add. For information.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from tests.bench import installed, services
from tests.bench.measure import Peer, Result, Target, take_turns
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ROUNDS = 25
LIMIT = 0.4  #: seconds
SIZE = 64 << 10  #: bytes of the one file

_FLOOR = "python -c pass"
_FILE, _S3 = "drain, empty, file://", "drain, empty, s3://"


def run(folder: Path, rounds: int = ROUNDS) -> Result:
    """Start each command in turns."""
    result = Result("start")
    with ExitStack() as held:
        starts = _Starts(folder)
        refused = held.enter_context(_refusing())
        server = held.enter_context(services.SERVERS["sink"](folder / "server"))
        local, nowhere = (folder / "remote").as_uri(), f"s3://bucket/run?endpoint={refused}"
        sink = f"s3://{server.make_bucket()}/run?endpoint={server.endpoint}"
        peers = [
            Peer(_FLOOR, starts.floor),
            starts.empty(_FILE, local),
            starts.empty(_S3, nowhere),
            starts.one_file("drain, one file, file://", local),
            starts.one_file("drain, one file, s3://", sink, services.environment(server)),
        ]
        result.add(take_turns("start to exit", peers, rounds))
    result.targets = [
        Target(one.name, one.median, LIMIT, "s")
        for one in result.series
        if one.name in (_FILE, _S3)
    ]
    result.notes.append(
        "one file: 64 KiB, 4 workers; s3: a server on this machine that keeps nothing"
    )
    return result


class _Starts:
    """The commands, each with a spool of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._source = folder / "small-file"
        self._source.write_bytes(os.urandom(SIZE))
        self._environment = installed.environment(folder)

    def floor(self) -> None:
        """Start Python, and nothing else."""
        self._call([sys.executable, "-c", "pass"], {})

    def empty(self, name: str, url: str) -> Peer:
        """Return the drain of a spool in which nothing ever was."""
        spool = self._spool(url)
        spool.close()
        return Peer(name, lambda: self._call(installed.drain(spool.path), {}))

    def one_file(self, name: str, url: str, more: Mapping[str, str] | None = None) -> Peer:
        """Return the drain of a spool with one small file; the first, not counted, tries it out."""
        spool = self._spool(url)

        def prepare() -> None:
            spool.put_file(f"{next(self._numbers)}/x.pt", self._source)

        def drain() -> None:
            self._call(installed.drain(spool.path), more or {})

        return Peer(name, drain, prepare)

    def _spool(self, url: str) -> Spool:
        return Spool(self._folder / f"spool-{next(self._numbers)}", url)

    def _call(self, command: list[str], more: Mapping[str, str]) -> None:
        subprocess.run(
            command,
            env={**self._environment, **more},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


@contextmanager
def _refusing() -> Iterator[str]:
    """Hold a port of 127.0.0.1 at which nobody listens; yield its endpoint."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
