"""Measures what an agent takes that has nothing to do: the CPU, and the memory with its workers.

- Two agents side by side, as `uploader run` starts them, each with a spool that goes to S3: one
  has never had anything to upload; the other has uploaded small files and one in parts.
- Memory is that of the agent and all that came of it, what they share counted once. It is looked
  at when the last upload has arrived and the workers are still there, and at the end, when an agent
  without work has let them go.
- CPU is the kernel's account of the same processes, over a minute that begins when the agent has
  gone idle, its workers let go. What it takes from the last upload until then is told beside it.
- One look at each: there is nobody to take turns with, and the figures hardly vary.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import installed, services
from tests.bench.measure import MIB, Result, Target
from tests.bench.metering import memory_of
from tests.crash.processes import children_of, workers_of
from uploader import Spool, agent_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 60.0  #: of idleness
CPU_LIMIT = 0.2  #: percent of a core
MEMORY_LIMIT = 150.0  #: MiB of the agent and its workers together
WORKERS = 4
SMALL = (200, 64 << 10)  #: files that are uploaded first, and bytes of each: all workers get some
LARGE = 128 << 20  #: bytes of one that is uploaded in parts
START_LIMIT = 120.0  #: seconds in which all must have arrived
POLL = 0.05  #: seconds between looks at whether it has
SETTLED = 20.0  #: seconds after which nothing of the last upload is left: the workers are let go
TICKS = os.sysconf("SC_CLK_TCK")


def run(folder: Path, seconds: float = SECONDS) -> Result:
    """Let two agents be idle for so long."""
    result = Result(f"idle ({WORKERS} workers, s3)")
    with ExitStack() as held:
        server = held.enter_context(services.SERVERS["sink"](folder / "server"))
        environment = installed.environment(folder, services.environment(server))
        url = f"s3://{server.make_bucket()}/run?endpoint={server.endpoint}"
        fresh = held.enter_context(_agent(folder / "fresh", url, environment))
        used = held.enter_context(_agent(folder / "used", url, environment))
        _upload(folder, used)
        agents = {"before any upload": fresh, "after uploads": used}
        workers = len(workers_of(used.pid))
        for pause in (0.0, SETTLED, seconds):
            time.sleep(pause)
            for agent in agents.values():
                agent.look()
    for state, agent in agents.items():
        first, then = agent.share(0), agent.share(1)
        result.targets.append(Target(f"CPU, agent {state}", then, CPU_LIMIT, "% of a core"))
        result.notes.append(
            f"agent {state}: {', then '.join(agent.memory_told)}; {first:.3f} % of a core in the "
            f"first {SETTLED:.0f} s, {then:.3f} % in the {seconds:.0f} s after them"
        )
    what = f"memory of the agent and {workers} workers"
    result.targets.append(Target(what, used.memory, MEMORY_LIMIT, "MiB"))
    if workers != WORKERS:
        result.notes.append(f"NOT {WORKERS} workers were there when memory was looked at")
    return result


@dataclass
class _Agent:
    """A running agent, and what was seen of it."""

    pid: int
    spool: Path
    cpu: list[tuple[float, float]] = field(default_factory=list)  #: seconds on the clock, of CPU
    memory: float = 0.0  #: MiB, at the first look
    memory_told: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Take down what it and its processes have taken."""
        family = list(_family(self.pid))
        self.cpu.append((time.monotonic(), sum(map(_cpu_seconds, family))))
        together = memory_of(self.pid) / MIB
        self.memory = self.memory or together
        each = " + ".join(f"{_own(one):.0f}" for one in family)
        self.memory_told.append(f"{together:.0f} MiB ({each})")

    def share(self, since: int) -> float:
        """Return the percentage of a core from one look to the next."""
        (begun, before), (ended, after) = self.cpu[since : since + 2]
        return 100 * (after - before) / (ended - begun)


@contextmanager
def _agent(spool: Path, url: str, environment: dict[str, str]) -> Iterator[_Agent]:
    Spool(spool, url, producer=False).close()
    command = [installed.UPLOADER, "run", "--spool", str(spool), "--workers", str(WORKERS)]
    with spool.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until(lambda: agent_owner(spool) is not None, spool)
        yield _Agent(process.pid, spool)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _upload(folder: Path, agent: _Agent) -> None:
    """Have it upload, and wait until everything has arrived."""
    count, size = SMALL
    small, large = folder / "small", folder / "large"
    small.write_bytes(os.urandom(size))
    large.write_bytes(os.urandom(LARGE))
    with Spool(agent.spool, producer=False) as spool:
        spool.put_file("large", large)
        for number in range(count):
            spool.put_file(f"{number:05d}", small)
        _wait_until(lambda: not spool.ledger.live(), agent.spool)


def _wait_until(true: Callable[[], bool], spool: Path) -> None:
    until = time.monotonic() + START_LIMIT
    while not true():
        if time.monotonic() > until:
            raise AssertionError(spool.with_suffix(".log").read_text())
        time.sleep(POLL)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in children_of(pid):
        yield from _family(child)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that have ended (proc(5), stat)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / TICKS


def _own(pid: int) -> float:
    """Return the MiB of one process, its share of what it shares with others."""
    return (memory_of(pid) - sum(map(memory_of, children_of(pid)))) / MIB
