"""Kills ranks, agent and workers at random, for as long as asked; then judges what arrived.

While it goes on, an observer holds what is visible to the promises that have no "in the end" in
them: versions of a name only ever go up, and an alias never points to something that is not there.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.diary import Diary
from tests.crash.processes import children_of, kill, supervisor_of, workers_at_large
from tests.crash.scene import Scene
from tests.crash.trainer import number_of

RANKS = 3
FAULTS = "transient=0.03,lost=0.03,delay=0.002"
DRAIN_LIMIT = "300s"


@dataclass
class Outcome:
    """What a run of chaos was, and what it found."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    observations: int = 0
    promises: int = 0
    uploads: int = 0
    faults: list[str] = field(default_factory=list)


class Chaos:
    """One run."""

    def __init__(self, directory: Path, seed: int) -> None:
        """Prepare a scene in `directory`; everything random comes from `seed`."""
        self.scene = Scene(directory)
        self.scene.open().close()
        self.random = random.Random(seed)
        self.outcome = Outcome(seed)
        self.stop = directory / "stop"
        self.ranks: dict[int, subprocess.Popen[bytes]] = {}
        self.seen: dict[str, int] = {}

    def run(self, kills: int, seconds: float) -> Outcome:
        """Kill at least `kills` processes and go on for at least `seconds`; then judge."""
        ends = time.monotonic() + seconds
        try:
            while sum(self.outcome.kills.values()) < kills or time.monotonic() < ends:
                self._start_ranks()
                self._watch(self.random.uniform(0.02, 0.35))
                self._kill_one()
            self._finish()
        finally:
            for rank in self.ranks.values():
                rank.kill()
                rank.wait()
            supervisor = supervisor_of(self.scene.spool)
            if supervisor:
                kill(supervisor)
        return self.outcome

    def _start_ranks(self) -> None:
        for rank in range(RANKS):
            if rank not in self.ranks or self.ranks[rank].poll() is not None:
                self.ranks[rank] = self._start_rank(rank)

    def _start_rank(self, rank: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crash.trainer", str(self.scene.spool)]
        command += [f"file://{self.scene.destination}", str(rank)]
        command += [str(self.scene.directory / f"{rank}.diary"), str(self.stop)]
        with (self.scene.directory / f"{rank}.log").open("ab") as log:
            environment = {**self.scene.environment(faults=FAULTS), "RANK": str(rank)}
            return subprocess.Popen(command, env=environment, stderr=log)

    def _kill_one(self) -> None:
        supervisor = supervisor_of(self.scene.spool)
        workers = workers_at_large(supervisor) if supervisor else []
        kind = self.random.choices(("rank", "agent", "server", "worker"), (4, 2, 1, 6))[0]
        pids = {
            "rank": [rank.pid for rank in self.ranks.values()],
            # killed before it has got to work, an agent would never get to it
            "agent": [supervisor] if workers and supervisor else [],
            "server": children_of(supervisor) if workers and supervisor else [],
            "worker": workers,
        }[kind]
        victim = self.random.choice(pids) if pids else 0
        if victim and kill(victim):
            self.outcome.kills[kind] += 1

    def _watch(self, seconds: float) -> None:
        """Look at the destination for a while, as a reader would."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._observe_hot_names()
            self._observe_aliases()
            self.outcome.observations += 1

    def _observe_hot_names(self) -> None:
        for path in self.scene.destination.glob("hot/*-*"):
            if path.name.startswith("."):
                continue
            with path.open("rb") as file:
                self._must_not_go_back(f"hot/{path.name}", number_of(file.read(15)))

    def _observe_aliases(self) -> None:
        for path in self.scene.destination.glob("latest/*"):
            if path.name.startswith("."):
                continue
            try:
                with path.open("rb") as file:
                    self._must_not_go_back(f"latest/{path.name}", number_of(file.read(15)))
            except FileNotFoundError:
                self.outcome.faults.append(f"{path} points to {path.readlink()}: not there")

    def _must_not_go_back(self, name: str, number: int) -> None:
        if number < self.seen.get(name, 0):
            self.outcome.faults.append(f"{name} went back from {self.seen[name]} to {number}")
        self.seen[name] = number

    def _finish(self) -> None:
        """Let the ranks end, drain, and compare with the diaries."""
        self.stop.touch()
        for process in self.ranks.values():
            process.wait(60)  # it may be the last one killed: that one is started once more
        for rank in self.ranks:
            code = self._start_rank(rank).wait(60)
            if code:
                self.outcome.faults.append(f"rank {rank} ended with {code}")
        drained = self.scene.run("drain", "--timeout", DRAIN_LIMIT)
        if drained.returncode:
            self.outcome.faults.append(f"drain: {drained.returncode}: {drained.stderr[-500:]}")
        diary = Diary(self.scene.directory)
        self.outcome.promises = diary.promises
        self.outcome.faults += diary.faults(self.scene.arrived())
        self.outcome.faults += [f"left over: {path}" for path in self.scene.leftovers()]
        with self.scene.open(producer=False) as spool:
            status = spool.status()
            self.outcome.uploads = sum(status.counts.values())
            if status.pending or status.dead:
                self.outcome.faults.append(f"not done: {status.as_json()['counts']}")


def main() -> int:
    """Run as `scripts/soak` does: until the time is over, printing what it did."""
    seconds, seed = float(sys.argv[1]) * 60, int(sys.argv[2])
    directory = Path(sys.argv[3])
    outcome = Chaos(directory, seed).run(0, seconds)
    print(
        f"seed {outcome.seed}: {sum(outcome.kills.values())} kills {dict(outcome.kills)}, "
        f"{outcome.uploads} uploads, {outcome.promises} names owed, "
        f"{outcome.observations} looks, {len(outcome.faults)} faults"
    )
    print("\n".join(outcome.faults))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    os._exit(main())
