"""Tell a write-ahead log that has lost commits from one that a crash left.

SQLite reads its log up to the first frame that is not as it was written, and overwrites the rest:
right after a power loss, of which the last commit, not returned yet, may be cut short. After damage
to the log it is the loss of all later commits without a word; then their payloads, which no row
names any more, would be swept. So what is there is looked at before SQLite has changed it:

- a log whose first bytes are not its mark, nor zeros, was overwritten;
- two commits or more, one behind the other, behind the last frame that SQLite takes: a power loss
  cuts one at most, and a commit that failed, or was killed, may leave its end behind a shorter one;
- no log, though the shared memory that is made after it, and removed before it, is there and says
  that there are frames which are not in the database yet. Not after the machine went down: what it
  left of the shared memory is of any time, and may belong to a log that was removed since.

How far SQLite takes the log is read from its shared memory. A checkpoint tells it as well, but not
while another process makes one, and not in the moment in which one begins the log anew.

A log that was removed together with the shared memory, and a damaged last commit, look like what a
crash leaves: they cannot be told. Source of the format: sqlite.org/walformat.html.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.errors import SpoolDamagedError, SpoolError
from uploader.spool.layout import descriptor_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

HEADER = 32  #: bytes
FRAME_HEADER = 24  #: bytes
MARKS = (0x377F0682, 0x377F0683)
LOST = 2  #: commits that are there and were not taken
INDEX = (
    48  #: bytes at the beginning of the shared memory that say how far the log goes; there twice
)
SHARED = 100  #: bytes of it, with how far the log was copied into the database


@dataclass(frozen=True)
class Found:
    """A log as it was before SQLite read it."""

    salts: bytes  #: they change whenever the log is begun anew
    commits: tuple[int, ...]  #: numbers of its frames, from 1, that end a transaction


def found(database: str) -> Found | None:
    """Return what is there; None if nothing is.

    Raises:
        SpoolDamagedError: it was overwritten, or taken away.
    """
    log = f"{database}-wal"
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        _refuse_taken_away(database, log)
        return None
    try:
        header = os.pread(descriptor, HEADER, 0)
        if len(header) < HEADER or not any(header):
            return None
        mark, _, page = struct.unpack(">III", header[:12])
        if mark not in MARKS:
            raise _lost(log, "was overwritten")
        salts = header[16:24]
        return Found(salts, tuple(_commits(descriptor, FRAME_HEADER + page, salts)))
    finally:
        os.close(descriptor)


def require_whole(before: Found | None, database: str, connection: sqlite3.Connection) -> None:
    """Raise `SpoolDamagedError` if SQLite did not take all commits that were found.

    Others may write to the log meanwhile, or begin it anew: each of them has looked before.
    """
    if before is None or len(before.commits) < LOST:
        return
    frame, salts = taken = _taken(database, connection)
    if salts != before.salts or sum(number > frame for number in before.commits) < LOST:
        return
    left_out = _left_out(f"{database}-wal", salts, frame)
    if left_out >= LOST and _taken(database, connection) == taken:
        raise _lost(f"{database}-wal", f"is damaged: {left_out} commits in it cannot be read")


def _taken(database: str, connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Return the number of the last frame that SQLite takes, and the log's salts.

    Read by the descriptor that SQLite has: to close one of ours would take its locks away.
    """
    while True:
        connection.execute("PRAGMA schema_version").fetchone()  # it looks at the log for that,
        descriptor = descriptor_of(f"{database}-shm")
        if descriptor is None:
            msg = f"{database}-shm is not the file that SQLite has open: it was replaced; try again"
            raise SpoolError(msg)
        said = os.pread(descriptor, 2 * INDEX, 0)
        if said[:INDEX] == said[INDEX:]:  # and puts right what a writer that was killed left half
            return struct.unpack_from("=I", said, 16)[0], said[32:40]


def _commits(descriptor: int, size: int, salts: bytes) -> Iterator[int]:
    number = 1
    while len(head := os.pread(descriptor, 16, HEADER + (number - 1) * size)) == 16:  # noqa: PLR2004
        if head[8:16] == salts and any(head[4:8]):
            yield number
        number += 1


def _left_out(log: str, salts: bytes, taken: int) -> int:
    """Return how many commits there are, one behind the other, behind the last frame taken.

    Each frame's checksum goes on from that of the frame before it. Where it does not, there is
    damage, or the end of what was there before a shorter commit was written over its beginning.
    """
    most = run = 0
    with open(log, "rb") as file:
        header = file.read(HEADER)
        mark, _, page = struct.unpack(">III", header[:12])
        words = f"{'>' if mark & 1 else '<'}{(8 + page) // 4}I"
        file.seek(HEADER + taken * (FRAME_HEADER + page))
        sums = None
        while len(frame := file.read(FRAME_HEADER + page)) == FRAME_HEADER + page:
            stored = struct.unpack_from(">II", frame, 16)
            content = struct.unpack(words, frame[:8] + frame[FRAME_HEADER:])
            if sums is None or _checksum(content, sums) != stored:
                run = 0
            run += frame[8:16] == salts and any(frame[4:8])
            most = max(most, run)
            sums = stored
    return most


def _checksum(words: tuple[int, ...], sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _refuse_taken_away(database: str, log: str) -> None:
    shared = f"{database}-shm"
    with suppress(FileNotFoundError):
        before = os.stat(shared)
        if os.path.exists(log):
            return  # another process made both just now
        if before.st_mtime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
            return
        with open(shared, "rb") as file:
            same = os.fstat(file.fileno()).st_ino == before.st_ino
            said = file.read(SHARED)
        if not same or len(said) < SHARED:
            return
        (frames,), (copied,) = (
            struct.unpack_from("=I", said, 16),
            struct.unpack_from("=I", said, 96),
        )
        if frames > copied and not os.path.exists(log) and os.path.exists(shared):
            raise _lost(log, "is missing")


def _lost(log: str, how: str) -> SpoolDamagedError:
    return SpoolDamagedError(
        f"the spool is damaged: its database's log {log} {how}, and what was committed last is in "
        "it. Nothing was changed; keep a copy of the whole directory before you put the log back, "
        "or remove it, with the file whose name ends in -shm, to go on without those commits"
    )
