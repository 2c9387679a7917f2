"""Keeps a process that plays cases, and lists the cases that there are."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from errno import EINTR
from pathlib import Path
from typing import Any

from tests.failing.shim import ALWAYS, ERRORS, Fault, Kind, Shim

MEMORY = Path("/dev/shm")  #: where no fsync waits: none has to hold here
FEW, OFTEN = 20, 97  #: of calls that are alike: the first, and then each so many
TIME_LIMIT = 30.0  #: seconds for a case; most take a hundredth of one


class Player:
    """A process in which calls fail on request."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self._folder, self._runs = folder, 0
        self._start()

    def _start(self) -> None:
        self._runs += 1
        state, room = self._folder / f"state-{self._runs}", self._folder / f"room-{self._runs}"
        room.mkdir()
        shim = Shim(state, room / "base")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.failing.player", str(state), str(room)],
            env={**os.environ, **shim.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, scenario: str, fault: Fault | None = None) -> dict[str, Any]:
        """Play a case; return what came of it (`player.Outcome`)."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"scenario": scenario, "fault": asdict(fault) if fault else None}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], TIME_LIMIT)
        line = self._process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.stop()
        how = f"ended with {self._process.returncode}" if ready else "hung"
        self._start()
        return {"wrong": [f"the process {how}"], "failed": 1, "error": "", "path": "", "words": ""}

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def playing() -> Iterator[Player]:
    """Yield a player; its directory is gone afterwards."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="uploader-failing-", dir=where) as folder:
        player = Player(Path(folder))
        try:
            yield player
        finally:
            player.stop()


def faults(player: Player, scenario: str) -> list[Fault]:
    """Return every fault of a scenario: each call that it makes, each error, once and for good."""
    outcome = player.play(scenario)
    assert not outcome["wrong"], outcome
    return [
        Fault(kind, first, error, count)
        for kind in Kind
        for first in range(1, outcome["calls"].get(kind.name, 0) + 1)
        for error in ERRORS[kind]
        for count in ((1,) if error == EINTR else (1, ALWAYS))
    ]


def worth(fault: Fault) -> bool:
    """Tell whether a fault is no mere repetition: of 256 buckets each is made, and listed."""
    many = fault.kind in (Kind.MKDIR, Kind.STAT, Kind.LIST, Kind.MODE)
    return not many or fault.first < FEW or fault.first % OFTEN == 0
