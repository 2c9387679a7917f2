"""Runs a process so that everything it does to the files below a directory is written down.

The recorder is a library that is preloaded (`tracer.c`): what Python and SQLite ask of the file
system goes through it, in every process that is started, and in the order over all of them.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE = Path(__file__).with_name("tracer.c")
TIME_LIMIT = 60  #: seconds for one recorded command

_HEADER = struct.Struct("=IIIIQQQ")
_COMPILER = ("cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC")


class CannotTraceError(Exception):
    """There is no C compiler."""


class Kind(IntEnum):
    """What was done; the numbers are those of `tracer.c`."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    EXTEND = 4
    SYNC = 5
    RENAME = 6
    LINK = 7
    UNLINK = 8
    MKDIR = 9
    RMDIR = 10
    SYMLINK = 11
    ATTRIBUTE = 12
    MARK = 13
    UNKNOWN = 14


@dataclass(frozen=True)
class Deed:
    """One call that succeeded."""

    kind: Kind
    path: str  #: absolute; the old name of a rename or link
    other: str  #: the new name; an attribute's key; where an fsync was called
    inode: int
    offset: int  #: of a write; the new size of a truncation
    data: bytes


def compiled(source: Path = SOURCE) -> Path:
    """Return the recorder, or another library to preload, compiled when it has changed.

    Raises:
        CannotTraceError: there is no C compiler; says how to get one.
    """
    text = source.read_bytes()
    folder = Path(sys.prefix) / "power-tracer"
    library = folder / f"{hashlib.sha256(text).hexdigest()[:16]}.so"
    if library.exists():
        return library
    folder.mkdir(exist_ok=True)
    fresh = folder / f"{os.getpid()}.so"
    try:
        subprocess.run([*_COMPILER, "-o", str(fresh), str(source)], check=True)
    except FileNotFoundError as error:
        msg = "no C compiler to make the recorder with (Debian, Ubuntu: apt-get install gcc)"
        raise CannotTraceError(msg) from error
    fresh.rename(library)
    return library


def record(command: Sequence[str], root: Path, trace: Path) -> list[Deed]:
    """Run a command to its end; return what it and its children did below `root`, in order."""
    trace.touch()
    told = {"LD_PRELOAD": compiled(), "POWER_ROOT": root, "POWER_TRACE": trace}
    ended = subprocess.run(
        command,
        env={**os.environ, **{key: str(path) for key, path in told.items()}},
        timeout=TIME_LIMIT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert not ended.returncode, ended.stderr
    return list(read(trace.read_bytes()))


def read(trace: bytes) -> Iterator[Deed]:
    """Read a trace.

    Raises:
        ValueError: a file was changed in a way that the model does not know.
    """
    at = 0
    while at < len(trace):
        kind, path, other, _, inode, offset, size = _HEADER.unpack_from(trace, at)
        at += _HEADER.size
        pieces = []
        for length in (path, other, size):
            pieces.append(trace[at : at + length])
            at += length
        deed = Deed(Kind(kind), pieces[0].decode(), pieces[1].decode(), inode, offset, pieces[2])
        if deed.kind is Kind.UNKNOWN:
            msg = f"{deed.path} was changed by {deed.other}, which the model of the disk lacks"
            raise ValueError(msg)
        yield deed
