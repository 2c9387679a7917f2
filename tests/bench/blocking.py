"""Measures how long log_file_artifact blocks training, beside a plain copy of the same file.

- The peers: `shutil.copy2`, which is not durable when it returns; the same with the file and its
  directory fsynced, which is the least that durability costs; the logger.
- Each call copies another file of the same size, all read just before, and nothing else is dirty:
  the page cache is in the same state for each. With `written`, the file was instead written just
  before and not synced, as a training script does.
- Copies are removed after each call, off the clock.
"""

from __future__ import annotations

import os
import shutil
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING

from destination import LogLevel, ObjectStoreLogger
from destination.integrations import RunState
from tests.bench.measure import Peer, Result, Target, take_turns
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROUNDS = {64 * KIB: 200, 16 * MIB: 50, GIB: 7}  #: by size in bytes: a minute or two for each
SOURCES = (
    4  #: files that take turns: more than there are peers, so that each peer gets each of them
)
CHUNK = 1 << 20  #: bytes written or read at a time when a source is prepared


def run(folder: Path, sizes: list[int], rounds: int | None, *, written: bool) -> Result:
    """Measure for each size in bytes; `rounds` None: as many as `ROUNDS` says."""
    result = Result("blocking" + (" (source just written)" if written else ""))
    with Spool(folder / "spool", (folder / "remote").as_uri(), producer=False) as spool:
        for size in sizes:
            series = take_turns(
                name_of(size),
                _peers(folder, spool, size, written=written),
                rounds or ROUNDS.get(size, 20),
            )
            result.add([series[1], series[0], series[2]])
            durable, logged = series[1], series[2]
            if size >= GIB:
                ratio = logged.ratio_to(durable)
                result.targets.append(
                    Target(f"{name_of(size)} against copy + fsync", ratio, 1.15, "x")
                )
            elif size == 64 * KIB:
                over = logged.over(durable) * 1e3
                result.targets.append(Target("64 KiB over copy + fsync", over, 3, "ms"))
    return result


def name_of(size: int) -> str:
    """Return a size in bytes as people write it."""
    for unit, text in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {text}"
    return f"{size} B"


def _peers(folder: Path, spool: Spool, size: int, *, written: bool) -> list[Peer]:
    sources = _Sources(folder / f"source-{size}", size, written=written)
    copy = folder / "copies" / "copy"
    copy.parent.mkdir(exist_ok=True)
    numbers = count()
    state = RunState("bench")
    logger = ObjectStoreLogger(spool.destination, spool=spool.path, agent="external")

    def plain() -> None:
        shutil.copy2(sources.current, copy)

    def durable() -> None:
        shutil.copy2(sources.current, copy)
        _sync(copy, os.O_RDONLY)
        _sync(copy.parent, os.O_RDONLY | os.O_DIRECTORY)

    def logged() -> None:
        name = f"{size}/step{next(numbers):08d}/x.pt"
        logger.log_file_artifact(state, LogLevel.BATCH, name, sources.current, overwrite=False)

    return [
        Peer("shutil.copy2", plain, sources.turn, copy.unlink),
        Peer("copy + fsync", durable, sources.turn, copy.unlink),
        Peer("log_file_artifact", logged, sources.turn, lambda: spool.cancel(all=True)),
    ]


class _Sources:
    """Files of one size that take turns, all in the same state when their turn comes."""

    def __init__(self, folder: Path, size: int, *, written: bool) -> None:
        folder.mkdir()
        self._size, self._written = size, written
        self._paths: Iterator[Path] = cycle([folder / str(number) for number in range(SOURCES)])
        for _ in range(SOURCES):
            self._write(next(self._paths))
        self.current = next(self._paths)

    def turn(self) -> None:
        """Make the next file the current one, and the disk quiet."""
        self.current = next(self._paths)
        os.sync()
        if self._written:
            self._write(self.current)
        else:
            _read(self.current)

    def _write(self, path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for start in range(0, self._size, CHUNK):
                file.write(os.urandom(min(CHUNK, self._size - start)))


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(CHUNK):
            pass


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
