"""Measures whether an artifact costs more when many are pending, and what memory they take.

- Two spools on one disk, one with a small backlog, one with a large one, taking turns.
- Each step is measured as it is (its commits fsynced, which is most of its time), and again
  without fsync, where what the database itself does is not hidden behind the disk.
- The rate at the end of a backlog is that of a spool in which all but the last of it are done.
- The supervisor's memory is that of a real `uploader run`, and of a real `uploader drain` with a
  deadline (which looks at the new end), while they upload to a local destination.
"""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import installed
from tests.bench.measure import MIB, Peer, Result, Target, take_turns
from tests.bench.metering import memory_of
from tests.bench.seeding import finish_oldest, give_bytes, seed
from uploader import Spool
from uploader.drain.schedule import WINDOW
from uploader.model import Kind, Receipt
from uploader.policy import MAX_DELAY
from uploader.spool.items import Logged, new_id
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.model import Upload

FEW = 1000  #: pending rows that the large backlog is compared to
ROUNDS = 200
TOGETHER = 4  #: artifacts that are started in one transaction: one for each worker
LIMIT = 1.3  #: times the cost at `FEW` rows
MEMORY_LIMIT = 300.0  #: MiB of the supervisor's own process
START_OVER_END = 1.25  #: times the rate at the end: that is 0.8 of the rate at the start
UPLOADABLE = 100_000  #: rows that get their blobs: more than are uploaded while it is watched
TURNS = 4  #: of the rates at the start and at the end of a backlog
LAST = 50_000  #: pending rows at the end of a backlog
START_LIMIT = 120.0  #: seconds until the first upload must be done
WATCHED = 10.0  #: seconds of uploading during which memory is watched
WATCH_POLL = 0.1  #: seconds between looks; the kernel keeps the peak
WORKERS = 2


def run(folder: Path, rows: int, rounds: int, names: str) -> Result:
    """Compare `rows` pending uploads to `FEW`."""
    result = Result(f"backlog ({names} names)")
    spools = [_filled(folder / "few", FEW, names), _filled(folder / "many", rows, names)]
    result.notes.append(
        f"database at {rows} pending: {spools[1].layout.database.stat().st_size >> 20} MiB"
    )
    steps = [_Steps(spool, folder, names) for spool in spools]
    counts = [f"{FEW} pending", f"{rows} pending"]
    for synced in (True, False):
        with _without_fsync(spools, skip=synced):
            for case in _cases(steps, counts):
                label, peers, measured = case
                series = take_turns(label if synced else f"{label}, no fsync", peers, rounds)
                result.add(series)
                if synced and measured:
                    ratio = series[1].ratio_to(series[0])
                    result.targets.append(
                        Target(f"{label}, against {FEW} pending", ratio, LIMIT, "x")
                    )
    for spool in spools:
        give_bytes(spool, UPLOADABLE)
        spool.close()
    ended = _filled(folder / "ended", rows, names)
    finish_oldest(ended, max(0, rows - LAST))
    give_bytes(ended, UPLOADABLE)
    ended.close()
    _watch_all(result, folder, counts)
    return result


def _filled(path: Path, rows: int, names: str) -> Spool:
    spool = Spool(path, (path.parent / f"remote-{path.name}").as_uri())
    seed(spool, rows, names)
    return spool


class _Steps:
    """What happens to an artifact in one spool, step by step."""

    def __init__(self, spool: Spool, folder: Path, names: str) -> None:
        self._spool, self._names = spool, names
        self._source = folder / "small-file"
        self._source.write_bytes(b"x" * 4096)
        self._numbers = count()
        self._chosen: list[Upload] = []

    def put(self) -> None:
        """Copy and commit a small file, as a training process does."""
        self._spool.put_file(self._name(), self._source)

    def commit(self) -> None:
        """Commit a row alone: what of a put could depend on the backlog."""
        logged = Logged(self._name(), overwrite=False, run="run", rank=0)
        item = logged.item(new_id(), Kind.FILE)
        facts = {"size": 0, "source_mtime": 1.0, "crc32c": 0, "block": 1 << 20, "blocks": ""}
        self._spool._commit(item | facts)

    def choose(self) -> None:
        """Look up what may start next."""
        now = time.time()
        self._chosen = self._spool.ledger.startable(now, now + MAX_DELAY, WINDOW)

    def choose_newest(self) -> None:
        """Look up which start first before a deadline; the rows of most are known already."""
        now = time.time()
        self._spool.ledger.newest.startable(now, now + MAX_DELAY, WINDOW)

    def start_and_finish(self) -> None:
        """Start as many as there are workers, and finish each."""
        ledger = self._spool.ledger
        for upload, _ in ledger.start_all(self._chosen[:TOGETHER]):
            ledger.finish(upload, Receipt("etag", 0, 0, 1.0))

    def _name(self) -> str:
        number = next(self._numbers)
        if self._names == "scattered":
            number = number * 2654435761 % 2**32
        return f"run/step{number:010d}/y.pt"


def _cases(steps: list[_Steps], counts: list[str]) -> Iterator[tuple[str, list[Peer], bool]]:
    """Yield label, peers, and whether the ratio has to stay below the limit."""

    def peers(chosen: Callable[[_Steps], Peer]) -> list[Peer]:
        made = [chosen(one) for one in steps]
        return [
            Peer(name, peer.run, peer.prepare, per=peer.per)
            for name, peer in zip(counts, made, strict=True)
        ]

    yield "enqueue (put_file)", peers(lambda one: Peer("", one.put)), True
    yield "enqueue (its commit)", peers(lambda one: Peer("", one.commit)), True
    yield "choose", peers(lambda one: Peer("", one.choose, per=WINDOW)), True
    yield "choose, newest", peers(lambda one: Peer("", one.choose_newest, per=WINDOW)), True
    yield (
        "start and finish",
        peers(lambda one: Peer("", one.start_and_finish, one.choose, per=TOGETHER)),
        True,
    )


@contextmanager
def _without_fsync(spools: list[Spool], *, skip: bool) -> Iterator[None]:
    """Let commits not wait for the disk, unless `skip`."""
    for spool in spools:
        spool._journal.execute(f"PRAGMA synchronous={'FULL' if skip else 'OFF'}")
    yield
    for spool in spools:
        spool._journal.execute("PRAGMA synchronous=FULL")


def _watch_all(result: Result, folder: Path, counts: list[str]) -> None:
    few, many = counts
    drain = ["drain", "--timeout", f"{START_LIMIT + WATCHED:.0f}s"]
    both = [(["run"], "many", many), (["run"], "ended", f"{LAST} left")]
    turns = [one for turn in range(TURNS) for one in both[:: (-1) ** turn]]
    seen = [
        (name, command, backlog, _watch(folder / name, command))
        for command, name, backlog in [(["run"], "few", few), *turns, (drain, "many", many)]
    ]
    for _, command, backlog, watched in seen:
        result.notes.append(f"uploader {command[0]:<5} {backlog:>16}: {watched}")
    peak = max(watched.supervisor for *_, watched in seen)
    result.targets.append(Target("memory of the supervisor", peak, MEMORY_LIMIT, "MiB"))
    starts, ends = (
        [watched.rate for name, *_, watched in seen if name == which] for which in ("many", "ended")
    )
    over = median(start / end for start, end in zip(starts[:-1], ends, strict=True))
    what = f"rate with {many} over the rate when {LAST} are left of them"
    result.targets.append(Target(what, over, START_OVER_END, "x"))


@dataclass
class _Watched:
    """What was seen of a supervisor at work."""

    supervisor: float = 0  #: MiB, the peak of its resident memory
    together: float = (
        0  #: MiB, the peak of its memory and its workers', what they share counted once
    )
    start: float = 0  #: seconds until its first upload was done
    rate: float = 0  #: uploads a second from then on

    def __str__(self) -> str:
        return (
            f"supervisor at most {self.supervisor:.0f} MiB, with {WORKERS} workers "
            f"{self.together:.0f} MiB; first upload after {self.start:.1f} s, "
            f"then {self.rate:.0f} a second"
        )


def _watch(spool_path: Path, command: list[str]) -> _Watched:
    """Watch a supervisor for `WATCHED` seconds from its first upload, or until all is uploaded."""
    watched = _Watched()
    with Spool(spool_path, producer=False) as spool, _running(spool_path, command) as process:
        begun, at_first = time.monotonic(), spool.ledger.live()
        left = at_first
        first = None
        while (now := time.monotonic()) < (first or begun + START_LIMIT) + WATCHED:
            left = spool.ledger.live()
            if first is None and left < at_first:
                first, watched.start = now, now - begun
            if process.poll() is not None or not left:
                break
            watched.supervisor = max(
                watched.supervisor, _kib(process.pid, "status", "VmHWM") / 1024
            )
            watched.together = max(watched.together, memory_of(process.pid) / MIB)
            time.sleep(WATCH_POLL)
        watched.rate = (at_first - left) / (now - (first or begun))
        if spool.ledger.tally()[State.DEAD][0]:
            raise AssertionError(f"uploads of {spool_path} failed: their blobs ran out?")
    return watched


@contextmanager
def _running(spool_path: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    uploader = [installed.UPLOADER, *command, "--spool", str(spool_path)]
    process = subprocess.Popen(
        [*uploader, "--workers", str(WORKERS)],
        env=installed.environment(spool_path.parent),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _kib(pid: int, file: str, key: str) -> int:
    """Return a figure of a process that the kernel gives in KiB; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)
