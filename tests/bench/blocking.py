"""Measures how long log_file_artifact blocks training, beside the copy that Composer makes.

- The peers: the copy of Composer's own uploader (`shutil.copy2` into a folder of its own, see
  `upload_file` in composer/loggers/remote_uploader_downloader.py), which is not durable when it
  returns; the same with the file and its directory fsynced, which is the least that durability
  costs where bytes are copied; the logger.
- On ext4, and on XFS and btrfs, where the logger shares the source's bytes instead of copying them.
  A file system that the benchmark's directory is not on is made in a file there, as root.
- Each call copies another file of the same size, all read just before, and nothing else is dirty:
  the page cache is in the same state for each. With `written`, the file was instead written just
  before and not synced, as a training script does.
- Copies are removed after each call, off the clock.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import ExitStack, contextmanager
from itertools import count, cycle
from typing import TYPE_CHECKING

from destination import LogLevel, ObjectStoreLogger
from destination.integrations import RunState
from tests.bench.measure import Peer, Result, Target, take_turns
from tests.bench.volumes import CannotMountError, mounted
from uploader import Spool
from uploader.spool.layout import file_system_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Series

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROUNDS = {64 * KIB: 200, 16 * MIB: 50, GIB: 7}  #: by size in bytes: a minute or two for each
FILE_SYSTEMS = ("ext4", "xfs", "btrfs")
REFLINKING = ("xfs", "btrfs")  #: those of them that share a file's bytes with its copy
COPYING = 1.2  #: times Composer's copy, from `LARGE` on
SHARING = 0.1  #: the same, where bytes are shared
LARGE = 16 * MIB
SOURCES = (
    4  #: files that take turns: more than there are peers, so that each peer gets each of them
)
CHUNK = 1 << 20  #: bytes written or read at a time when a source is prepared

_COMPOSERS, _DURABLE, _LOGGED = "Composer's copy", "copy + fsync", "log_file_artifact"


def run(
    folder: Path,
    sizes: list[int],
    rounds: int | None,
    file_systems: list[str],
    *,
    written: bool,
) -> Result:
    """Measure for each size in bytes; `rounds` None: as many as `ROUNDS` says."""
    result = Result("blocking" + (" (source just written)" if written else ""))
    for kind in file_systems:
        try:
            with _on(kind, folder, (SOURCES + 4) * sum(sizes) + GIB) as place:
                _measure(result, kind, place, sizes, rounds, written=written)
        except CannotMountError as error:
            result.absent[kind] = f"NOT MEASURED: {error}"
    return result


@contextmanager
def _on(kind: str, folder: Path, room: int) -> Iterator[Path]:
    """Yield a folder on such a file system: the one that is there, or one made with that room."""
    if file_system_of(folder) == kind:
        yield folder
    else:
        with mounted(kind, folder, room) as place:
            yield place


def _measure(
    result: Result, kind: str, place: Path, sizes: list[int], rounds: int | None, *, written: bool
) -> None:
    with (
        Spool(place / "spool", (place / "remote").as_uri(), producer=False) as spool,
        ExitStack() as held,
    ):
        logger = ObjectStoreLogger(spool.destination, spool=spool.path, agent="external")
        held.callback(logger.post_close)
        for size in sizes:
            case = f"{name_of(size)} on {kind}"
            copied = _Copied(_sources(place, size), size, written=written)
            peers = _peers(place, copied, spool, logger)
            series = take_turns(case, peers, rounds or ROUNDS.get(size, 20))
            result.add(series)
            result.targets += _targets(kind, size, series)
            shutil.rmtree(_sources(place, size))


def _targets(kind: str, size: int, series: list[Series]) -> Iterator[Target]:
    composers, durable, logged = series
    if size >= LARGE:
        limit = SHARING if kind in REFLINKING else COPYING
        what = f"{logged.case} against {_COMPOSERS}, which is not durable"
        yield Target(what, logged.ratio_to(composers), limit, "x")
    if size >= GIB and kind not in REFLINKING:
        yield Target(f"{logged.case} against {_DURABLE}", logged.ratio_to(durable), 1.15, "x")
    if size == 64 * KIB:
        yield Target(f"{logged.case} over {_DURABLE}", logged.over(durable) * 1e3, 3, "ms")


def name_of(size: int) -> str:
    """Return a size in bytes as people write it."""
    for unit, text in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {text}"
    return f"{size} B"


def _peers(folder: Path, sources: _Copied, spool: Spool, logger: ObjectStoreLogger) -> list[Peer]:
    copies = folder / "copies"
    state, numbers = RunState("bench"), count()

    def composers() -> Path:
        copy = copies / str(uuid.uuid4())
        copies.mkdir(exist_ok=True)
        shutil.copy2(sources.current, copy)
        return copy

    def durable() -> None:
        _sync(composers(), os.O_RDONLY)
        _sync(copies, os.O_RDONLY | os.O_DIRECTORY)

    def clean() -> None:
        shutil.rmtree(copies)

    def logged() -> None:
        name = f"{sources.current.name}/step{next(numbers):08d}/x.pt"
        logger.log_file_artifact(state, LogLevel.BATCH, name, sources.current, overwrite=False)

    return [
        Peer(_COMPOSERS, composers, sources.turn, clean),
        Peer(_DURABLE, durable, sources.turn, clean),
        Peer(_LOGGED, logged, sources.turn, lambda: spool.cancel(all=True)),
    ]


def _sources(folder: Path, size: int) -> Path:
    return folder / f"source-{size}"


class _Copied:
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
