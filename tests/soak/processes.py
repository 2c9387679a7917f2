"""Starts and ends the processes of a soak: ranks, and commands from the shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.processes import kill, supervisor_of
from tests.soak.trainer import FULL
from uploader import Spool

if TYPE_CHECKING:
    from tests.soak.clock import JumpingClock
    from tests.soak.destinations import Destination
    from tests.soak.disk import SmallDisk
    from tests.soak.outcome import Outcome

MARK = "SOAK_OF"  #: a variable of all of them, and of what they start: by it they are found
POLL = 0.05  #: seconds between looks whether a process has gone
LEAVES = 20.0  #: seconds within which all have gone after an agent was asked to; its grace is 10
TAIL = 1500  #: characters of a log that are shown

#: How a drain or an agent may end while all this goes on: done, work remains, refused (a clock that
#: is off, an expired key), full, interrupted, killed. Never: an internal error, a dead letter, or a
#: spool that is damaged.
_USUAL = {0, 4, 5, 7, 130, -signal.SIGKILL, 128 + signal.SIGKILL}


class Processes:
    """All that are started on one spool."""

    def __init__(
        self,
        directory: Path,
        disk: SmallDisk,
        destination: Destination,
        clock: JumpingClock,
        outcome: Outcome,
    ) -> None:
        """Make the spool."""
        self.directory = directory
        self.spool = disk.path / "spool"
        self._destination = destination
        self._outcome = outcome
        self._around = {**clock.environment, MARK: str(directory), "PYTHONUNBUFFERED": "1"}
        self._stop = directory / "stop"
        self._ranks: dict[int, subprocess.Popen[bytes]] = {}
        self._shells: list[tuple[subprocess.Popen[bytes], str, Path]] = []
        self._count = 0
        Spool(self.spool, destination.url, options=destination.options, **disk.limits).close()

    def environment(self, *, faults: bool = True) -> dict[str, str]:
        """Return what each of them has in its environment."""
        return {**os.environ, **self._destination.environment(faults=faults), **self._around}

    # -- ranks ----------------------------------------------------------------------------------

    def start_ranks(self, count: int) -> None:
        """Start those that do not run."""
        for rank in range(count):
            if rank not in self._ranks or self._ended(rank):
                self._ranks[rank] = self._start_rank(rank)

    def ranks(self) -> list[int]:
        """Return the pids of those that run."""
        return [one.pid for one in self._ranks.values() if one.poll() is None]

    def end_ranks(self) -> None:
        """Let them log no more, and each close as at the end of training."""
        self._stop.touch()
        for rank in self._ranks:
            self._ranks[rank].wait(60)  # it may be the last one killed: once more
            self._ended(rank)
            self._ranks[rank] = self._start_rank(rank)
        for rank, process in self._ranks.items():
            process.wait(60)
            self._ended(rank)

    def _start_rank(self, rank: int) -> subprocess.Popen[bytes]:
        directory = self.directory
        command = [sys.executable, "-m", "tests.soak.trainer", str(self.spool)]
        command += [self._destination.url, str(rank), str(directory / f"{rank}.diary")]
        command += [str(self._stop), json.dumps(self._destination.larger)]
        with (directory / f"{rank}.log").open("ab") as log:
            environment = {**self.environment(), "RANK": str(rank)}
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def _ended(self, rank: int) -> bool:
        code = self._ranks[rank].poll()
        if code == FULL:
            self._outcome.refused += 1
        elif code not in (None, 0, -signal.SIGKILL):
            self._fault(f"rank {rank} ended with {code}", self.directory / f"{rank}.log")
        return code is not None

    # -- commands -------------------------------------------------------------------------------

    def start_shell(self, *arguments: str) -> None:
        """Start `uploader …` on the spool."""
        self._count += 1
        log = self.directory / f"shell-{self._count}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(*arguments), env=self.environment(), stdout=output, stderr=output
            )
        self._shells.append((process, arguments[0], log))

    def shells(self) -> list[int]:
        """Return the pids of the commands that run."""
        return [process.pid for process, _, _ in self._shells if process.poll() is None]

    def collect(self) -> None:
        """Look how commands have ended."""
        for one in self._shells.copy():
            process, verb, log = one
            if process.poll() is not None:
                self._shells.remove(one)
                self._outcome.drains[f"{verb} {process.returncode}"] += 1
                if process.returncode not in _USUAL:
                    self._fault(f"uploader {verb} ended with {process.returncode}", log)

    def wait_for_shells(self) -> None:
        """Let commands end that still run; agents are asked to."""
        for process, verb, _ in self._shells:
            if verb == "run":
                process.terminate()
            process.wait(120)
        self.collect()

    def run(self, *arguments: str, limit: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `uploader …` on the spool, without faults."""
        return subprocess.run(
            self._command(*arguments),
            env=self.environment(faults=False),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "uploader", *arguments, "--spool", str(self.spool)]

    # -- all ------------------------------------------------------------------------------------

    def dismiss(self) -> list[str]:
        """Ask agents to leave; return what still runs after they have had time."""
        asked: set[int] = set()
        ends = time.monotonic() + LEAVES
        while (left := self.left()) and time.monotonic() < ends:
            supervisor = supervisor_of(self.spool)
            if supervisor and supervisor not in asked:  # one that a rank started may come late
                asked.add(supervisor)
                kill(supervisor, signal.SIGTERM)
            time.sleep(POLL)
        log = self.spool / "agent.log"
        said = log.read_text(errors="replace")[-TAIL:] if left and log.exists() else ""
        return [f"{pid}: {_command_of(pid)} asked: {asked}; {said}" for pid in left]

    def left(self) -> list[int]:
        """Return the pids of what was started here, by whomever, and runs."""
        mark = f"{MARK}={self.directory}".encode()
        return [
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdecimal() and mark in _environment_of(path).split(b"\0")
        ]

    def kill_all(self) -> None:
        """End everything at once."""
        for process in [*self._ranks.values(), *(one[0] for one in self._shells)]:
            process.kill()
            process.wait()
        while left := self.left():
            for pid in left:
                kill(pid)
            time.sleep(POLL)

    def _fault(self, what: str, log: Path) -> None:
        self._outcome.faults.append(f"{what}: {log.read_text(errors='replace')[-TAIL:]}")


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "gone"


def _environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
