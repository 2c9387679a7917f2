"""Runs the fault proxy as a process of its own, which can be killed and started again.

What it breaks depends on the text of a file: `calm` nothing, `usual` a little, `storm` most. Each
fault is written down in another file, by name, which a kill does not take away.

    python -m tests.soak.breaking UPSTREAM PORT MOOD FAULTS SEED
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import faults
from tests.servers.leash import LeashedProcess, free_ports
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Refusal, Request

if TYPE_CHECKING:
    from collections.abc import Callable

SHARES = {"calm": 0.0, "usual": 0.06, "storm": 0.4}  #: of requests, by mood
EXPIRED = 0.01  #: share of faults that are refused credentials: they halt all uploads for a second
DELAY = 0.3  #: seconds at most that a request waits

#: S3 alone answers 200 and then tells of an error.
_LATE = {Kind.COMPLETE, Kind.COPY}


class BreakingProxy:
    """The process, and its moods."""

    def __init__(self, upstream: str, folder: Path, seed: int) -> None:
        """Start it, breaking nothing."""
        folder.mkdir()
        self._folder = folder
        self._mood, self._log = folder / "mood", folder / "faults"
        self._log.touch()
        (port,) = free_ports(1)
        self._arguments = [upstream, str(port), str(self._mood), str(self._log), str(seed)]
        self._address = ("127.0.0.1", port)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.mood = "calm"
        self.up()

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    @property
    def mood(self) -> str:
        """How much it breaks."""
        return self._mood.read_text()

    @mood.setter
    def mood(self, mood: str) -> None:
        fresh = self._mood.with_suffix(".new")
        fresh.write_text(mood)
        fresh.rename(self._mood)

    @property
    def faults(self) -> list[str]:
        """What it broke, each by its name."""
        return self._log.read_text().splitlines()

    def down(self) -> None:
        """Kill it: connections break, and are refused."""
        self._process.kill()

    def up(self) -> None:
        """Start it again at the same port."""
        command = [sys.executable, "-m", "tests.soak.breaking", *self._arguments]
        root = str(Path(__file__).parents[2])
        self._process = LeashedProcess(command, self._folder, {"PYTHONPATH": root})
        self._process.wait_until(self._listens)

    def wait(self) -> None:
        """Return: `up` has waited."""

    def end(self) -> str:
        """End it in order; return what went wrong in the proxy itself, "" if nothing."""
        return self._process.end()

    def _listens(self) -> bool:
        with socket.socket() as one:
            return not one.connect_ex(self._address)


class Decisions:
    """What becomes of each request."""

    def __init__(self, mood: Path, log: Path, seed: int) -> None:
        self._mood = mood
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND)
        self._chance = random.Random(seed)

    def decide(self, request: Request) -> faults.Fault | None:
        """See `FaultProxy.decide`."""
        if self._chance.random() >= SHARES[self._mood.read_text()]:
            return None
        fault = self._some(request)
        os.write(self._log, f"{_name_of(fault)}\n".encode())
        return fault

    def _some(self, request: Request) -> faults.Fault:
        chance = self._chance
        if chance.random() < EXPIRED:
            return faults.Refuse(Refusal.EXPIRED)
        makers: list[Callable[[], faults.Fault]] = [
            lambda: faults.Refuse(Refusal.INTERNAL, done=chance.random() < 0.5),
            lambda: faults.Refuse(Refusal.THROTTLED),
            faults.ResetBeforeBody,
            faults.ResetAfterBody,
            lambda: faults.StallBody(chance.choice((0, 1000, 100_000))),
            faults.DropAnswer,
            faults.TruncateAnswer,
            faults.StallAnswer,
            lambda: faults.Delay(chance.uniform(0, DELAY)),
        ]
        if request.kind in _LATE and not request.of_gcs:
            makers.append(lambda: faults.ErrorIn200("InternalError", chance.random() < 0.5))
        return chance.choice(makers)()


def _name_of(fault: faults.Fault) -> str:
    if isinstance(fault, faults.Refuse):
        return fault.why.name.lower()
    return type(fault).__name__


def main(upstream: str, port: int, mood: Path, log: Path, seed: int) -> None:
    """Serve until SIGTERM; raise then what went wrong."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    proxy = FaultProxy(upstream, port=port)
    proxy.decide = Decisions(mood, log, seed).decide
    with proxy:
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
