"""Tells what is done to a spool while it is recorded: real calls, real processes, real kills.

Each scenario is played by `traced.py` in a process of its own, and says by marks when a call began
and when it returned. The directory of a spool is new, and so is the one above it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.power.traced import mark
from uploader import Spool
from uploader.crashpoint import VARIABLE as CRASH
from uploader.store.testing.faulty import VARIABLE as FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 1 << 20  #: bytes
SPOOL = "disk/spool"  #: below the base
DESTINATION = "there"
COMMITS = 150  #: after some 100 SQLite's log has its 1,000 pages
KILLED = -9


def content(number: int, size: int) -> bytes:
    """Return what artifact `number` holds: its number first, to be read back."""
    return f"{number:06d} ".encode() + random.Random(number).randbytes(size)


def url_of(base: Path) -> str:
    """Return where the spool below a base uploads to: a directory that is recorded as well."""
    return f"file://{base / DESTINATION}"


class Play:
    """The stage: a base directory that is recorded, and the calls that a scenario makes."""

    def __init__(self, base: Path, first: int = 1) -> None:
        """Use `base`; artifacts are numbered from `first` on."""
        self.base, self.number = base, first
        self.source = base.parent / f"{base.name}.source-{first}"  # not recorded

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """Open the spool as a trainer does, making it the first time."""
        with Spool(self.base / SPOOL, url_of(self.base), options={"part_size": PART}) as spool:
            mark(made=True)
            yield spool

    def put(self, spool: Spool, name: str, size: int, *, overwrite: bool = False) -> str:
        """Log a file; what it says afterwards must not matter."""
        number, self.number = self.number, self.number + 1
        self.source.write_bytes(content(number, size))
        mark(begun=number, name=name, size=size)
        upload_id = spool.put_file(name, self.source, overwrite=overwrite)
        mark(returned=number, id=upload_id)
        self.source.write_bytes(b"changed after the call; nobody may ever see this")
        return upload_id

    def link(self, spool: Spool, target: str, name: str) -> None:
        """Log a symlink, which replaces what was there."""
        number, self.number = self.number, self.number + 1
        mark(begun=number, name=name, target=target)
        upload_id = spool.put_symlink(target, name, overwrite=True)
        mark(returned=number, id=upload_id)

    def command(self, *arguments: str, crash: str = "", faults: str = "", code: int = 0) -> None:
        """Run `uploader …` on the spool, recorded too."""
        ended = subprocess.run(
            [*_TRACED, "uploader", *arguments, "--spool", str(self.base / SPOOL)],
            env={**os.environ, CRASH: crash, FAULTS: faults},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, f"{ended.returncode}: {ended.stderr}"


_TRACED = (sys.executable, "-m", "tests.power.traced")


def one(play: Play) -> None:
    """One artifact: the spool is made, it is logged, it arrives."""
    with play.spool() as spool:
        play.put(spool, "checkpoints/one.pt", 9000)
    play.command("drain")


def producers(play: Play) -> None:
    """Three ranks make the spool together and log into it, while a drain uploads."""
    ranks = [
        subprocess.Popen([*_TRACED, "scenario", f"rank-{number}", str(play.base)])
        for number in range(3)
    ]
    deadline = time.monotonic() + 30
    while not (play.base / SPOOL / "spool.db-wal").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    subprocess.run([*_TRACED, "uploader", "drain", "--spool", str(play.base / SPOOL)], check=False)
    assert [one.wait() for one in ranks] == [0, 0, 0]
    play.command("drain")


def _rank(number: int) -> Callable[[Play], None]:
    def play_it(play: Play) -> None:
        mine = Play(play.base, first=1 + 100 * number)
        with mine.spool() as spool:
            for size in (100, 5000):
                mine.put(spool, f"rank-{number}/{size}", size)
                mine.put(spool, "shared", 300 + number, overwrite=True)
            mine.link(spool, f"rank-{number}/5000", "latest")

    return play_it


def rank(play: Play) -> None:
    """One rank: small files, a name again and again, its alias, a file in parts."""
    with play.spool() as spool:
        play.put(spool, "model.pt", 3000, overwrite=True)
        play.put(spool, "checkpoints/one.pt", 200_000)
        play.put(spool, "model.pt", 5000, overwrite=True)
        play.link(spool, "checkpoints/one.pt", "latest")
        play.put(spool, "large.pt", 2 * PART + 5000)
        play.put(spool, "model.pt", 4000, overwrite=True)


def rank_for_long(play: Play) -> None:
    """One rank that logs until it is stopped."""
    mine = Play(play.base, first=1000)
    with mine.spool() as spool:
        for step in range(1, 10_000):
            size = (0, 700, 70_000, PART + 5000)[step % 4]
            mine.put(spool, f"checkpoints/{step}.pt", size)
            mine.put(spool, f"hot-{step % 3}", 300 + step, overwrite=True)
            mine.link(spool, f"checkpoints/{step}.pt", "latest-checkpoint")


def superseding(play: Play) -> None:
    """One name again and again: superseded, kept for a symlink, sent, and replaced."""
    with play.spool() as spool:
        for size in (3000, 2000):
            play.put(spool, "model.pt", size, overwrite=True)
        play.link(spool, "model.pt", "latest")
        for size in (700, 4097, 0):
            play.put(spool, "model.pt", size, overwrite=True)
        play.command("drain")
        for size in (2500, 1200):
            play.put(spool, "model.pt", size, overwrite=True)
        play.link(spool, "model.pt", "latest")
        play.command("drain", crash="supervisor.finish-committed", code=KILLED)
        play.put(spool, "model.pt", 3500, overwrite=True)
    play.command("drain")


def resumed(play: Play) -> None:
    """A file in parts: killed after a part, killed before its completion is known, taken up."""
    with play.spool() as spool:
        play.put(spool, "large.pt", 2 * PART + 5000)
        play.command("drain", "--workers", "1", crash="supervisor.part-recorded", code=KILLED)
        play.put(spool, "large.pt", PART + 5000, overwrite=True)
    play.command("drain", "--workers", "1", crash="supervisor.part-recorded:3", code=KILLED)
    play.command("drain", "--workers", "1")


def dead(play: Play) -> None:
    """What is refused is a dead letter: kept, retried, replaced by a newer one, or given up."""
    with play.spool() as spool:
        play.put(spool, "refused/a", 2000)
        play.put(spool, "refused/b", 1000, overwrite=True)
        play.link(spool, "refused/a", "latest")
        play.put(spool, "taken", 500)
    play.command("drain", faults="refuse=refused/*", code=3)
    play.command("retry", "refused/a")
    play.command("drain", code=3)
    with play.spool() as spool:
        play.put(spool, "refused/b", 1500, overwrite=True)
        play.command("drain")


def retention(play: Play) -> None:
    """What arrived is forgotten at once; names come again; a cleaner takes empty directories."""
    mark(forgets=True)
    with play.spool() as spool:
        for size in (2000, 100):
            play.put(spool, "a", size, overwrite=True)
            play.put(spool, f"b-{size}", size)
            play.command("drain", "--keep-done", "0s")
            play.command("gc")
            for bucket in (play.base / SPOOL / "blobs").iterdir():
                bucket.rmdir()
            play.command("status")


def wrapped(play: Play) -> None:
    """So many commits that SQLite copies its log into the database, and begins it anew."""
    with play.spool() as spool:
        play.put(spool, "model.pt", 1000)
        for _ in range(COMMITS):
            play.link(spool, "model.pt", "latest")
        log = Path(f"{play.base}/{SPOOL}/spool.db-wal")
        assert log.stat().st_size < COMMITS * 8 * 4096, "the log was not begun anew"
    play.command("drain")


#: What is recorded.
PLAYED: dict[str, Callable[[Play], None]] = {
    "one": one,
    "producers": producers,
    "superseding": superseding,
    "resumed": resumed,
    "dead": dead,
    "retention": retention,
    "wrapped": wrapped,
}
#: Parts of that, and what is played where the power is cut for real.
SCENARIOS: dict[str, Callable[[Play], None]] = {
    **PLAYED,
    **{f"rank-{number}": _rank(number) for number in range(3)},
    "rank": rank,
    "rank-for-long": rank_for_long,
}
