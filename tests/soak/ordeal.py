"""Puts one spool to everything at once, for as long as asked; then judges what arrived.

Ranks log, an agent and drains from the shell upload. Meanwhile, at random from one seed: any
process is killed, or stopped for longer than anybody waits for it; the service and the proxy before
it go away and come back, requests go wrong; the spool's disk is full; the wall clock jumps.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.crash.processes import children_of, kill, supervisor_of, workers_at_large
from tests.soak.clock import JumpingClock
from tests.soak.diary import Diary
from tests.soak.judging import Judge
from tests.soak.observer import Observer
from tests.soak.outcome import Outcome
from tests.soak.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.destinations import Destination
    from tests.soak.disk import SmallDisk

RANKS = 3
PACE = 0.05, 0.4  #: seconds between two deeds, least and most
AWAY = 0.2, 4.0  #: seconds that a service, a proxy or room on the disk is away
UP = {"server": 12.0, "proxy": 2.0}  #: seconds at least that it is there in between
TRUSTED = 900  #: seconds that a clock may be off before S3 refuses what is signed by it
LOOK = 0.004  #: seconds between looks: the cores are for others
STOPPED = 90.0  #: seconds at most that a process is stopped; the limit of a small step is 60
WORK = "rank", "supervisor", "fork server", "worker", "drain"  #: what is killed, but for services

#: How often each is done, beside the others.
DEEDS = {
    "kill rank": 4, "kill supervisor": 2, "kill fork server": 1, "kill worker": 5,
    "kill drain": 1, "kill server": 0.4, "kill proxy": 0.6,
    "stop": 2, "drain": 2, "agent": 1, "storm": 0.7, "full": 0.8, "jump": 1.5,
}  # fmt: skip


class Ordeal:
    """One spool's."""

    def __init__(
        self, directory: Path, disk: SmallDisk, destination: Destination, seed: int
    ) -> None:
        """Prepare it; everything random comes from `seed`."""
        self.outcome = Outcome()
        self._random = random.Random(seed)
        self._destination = destination
        self._disk = disk
        self._clock = JumpingClock(directory / "clock")
        self._processes = Processes(directory, disk, destination, self._clock, self.outcome)
        self._observer = Observer(destination, self.outcome, RANKS)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._away: set[str] = set()
        self._back_at: dict[str, float] = {}
        self._stopped: set[int] = set()

    def run(self, seconds: float, kills: int = 0, owed: int = 0) -> Outcome:
        """Go on for at least so long, so many kills and so much that is owed; then judge."""
        begun = time.monotonic()
        self._longest = max(AWAY[1], min(STOPPED, seconds / 4))
        try:
            while (
                time.monotonic() < begun + seconds
                or self.outcome.kills.total() < kills
                or (owed and Diary(self._processes.directory).promises < owed)
            ):
                self._processes.start_ranks(RANKS)
                self._do(self._random.choices([*DEEDS], [*DEEDS.values()])[0])
                self._watch(self._random.uniform(*PACE))
                self._processes.collect()
            self._settle()
            Judge(self._processes, self._destination, self.outcome).judge()
        finally:
            self._settle()
            self._processes.kill_all()
        self.outcome.injected.update(self._destination.faults)
        self.outcome.seconds = time.monotonic() - begun
        return self.outcome

    def _watch(self, seconds: float) -> None:
        """Look at the destination for a while, and do what is due."""
        ends = time.monotonic() + seconds
        while (now := time.monotonic()) < ends:
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            if self._observer.look():
                for what, since in self._back_at.items():
                    self._back_at[what] = min(since, now)
            time.sleep(LOOK)

    def _do(self, deed: str) -> None:
        verb, _, what = deed.partition(" ")
        if what in self._destination.breakable:
            self._take_away(what)
        elif verb == "kill" and what in WORK:
            self._kill(what)
        elif verb in {"stop", "drain", "agent", "storm", "full", "jump"}:
            getattr(self, f"_{verb}")()

    # -- processes ------------------------------------------------------------------------------

    def _kill(self, kind: str) -> None:
        pids = self._pids(kind)
        victim = self._random.choice(pids) if pids else 0
        if victim and kill(victim):
            self.outcome.kills[kind] += 1

    def _stop(self) -> None:
        """Stop a process, for so long that others may take it for lost."""
        kind = self._random.choice([*WORK, *self._destination.breakable])
        pids = [pid for pid in self._pids(kind) if pid not in self._stopped]
        if not pids:
            return
        pid = self._random.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._stopped.add(pid)
            self.outcome.stops[kind] += 1
            often = AWAY[1] if self._random.random() < 0.7 else self._longest
            self._after(self._random.uniform(0.1, often), lambda: self._resume(pid))

    def _resume(self, pid: int) -> None:
        self._stopped.discard(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _pids(self, kind: str) -> list[int]:
        if kind == "rank":
            return self._processes.ranks()
        if kind == "drain":
            return self._processes.shells()
        if kind in self._destination.breakable:
            away = kind in self._away
            return [] if away else [self._destination.breakable[kind].pid]
        supervisor = supervisor_of(self._processes.spool)
        if not supervisor:
            return []
        workers = workers_at_large(supervisor)
        # killed before it has got to work, a supervisor would never get to it
        of_it = [supervisor] if kind == "supervisor" else children_of(supervisor)
        return workers if kind == "worker" else of_it if workers else []

    def _drain(self) -> None:
        """Run a drain from the shell, beside the agent or instead of it."""
        if len(self._processes.shells()) < 2:
            timed = self._random.random() < 0.7
            limit = ["--timeout", f"{self._random.uniform(0.2, 6):.1f}s"] if timed else []
            self._processes.start_shell("drain", *limit)

    def _agent(self) -> None:
        if len(self._processes.shells()) < 2:
            self._processes.start_shell("run", "--exit-when-idle", "1s")

    # -- what is around them --------------------------------------------------------------------

    def _take_away(self, what: str) -> None:
        """Kill a service or a proxy; start it again after a while."""
        now = time.monotonic()
        if what in self._away or now < self._back_at.get(what, -math.inf) + UP[what]:
            return
        process = self._destination.breakable[what]
        self._resume(process.pid)
        process.down()
        self._away.add(what)
        self.outcome.kills[what] += 1

        def bring_back() -> None:
            process.up()
            self._away.discard(what)
            self._back_at[what] = math.inf  # until somebody was answered
            self.outcome.restarts[what] += 1

        self._after(self._random.uniform(*AWAY), bring_back)

    def _storm(self) -> None:
        """Have most requests go wrong for a while; else a few do."""
        if not self._destination.proxy:
            return
        proxy = self._destination.proxy
        proxy.mood = "storm"
        self.outcome.storms += 1

        def calm_down() -> None:
            proxy.mood = "usual"

        self._after(self._random.uniform(*AWAY), calm_down)

    def _full(self) -> None:
        """Fill the spool's disk, to the last byte or nearly, for a while."""
        if not self._disk.mounted:
            return
        self._disk.fill(self._random.choice((0, 0, self._random.randrange(4 << 20))))
        self.outcome.full_phases += 1
        self._after(self._random.uniform(0.2, 2.5), self._disk.free)

    def _jump(self) -> None:
        """Put the clock forwards or backwards, by seconds, minutes or hours, or right again."""
        most = self._random.choice((0, 5, 300, 12 * 3600))
        self._clock.set(self._random.uniform(-most, most))
        self.outcome.jumps += 1
        if most > TRUSTED and self._destination.proxy:  # nothing would be let in for long
            self._after(self._random.uniform(0.2, 2), lambda: self._clock.set(0))

    # -- the end --------------------------------------------------------------------------------

    def _after(self, seconds: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), deed))

    def _settle(self) -> None:
        """Have everything as it should be; again is harmless."""
        while self._later:
            heapq.heappop(self._later)[2]()
        self._disk.free()
        self._clock.set(0)
        self._destination.settle()
