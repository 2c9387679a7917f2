"""Say what to do when SQLite cannot read the spool's database, or not write it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from uploader.errors import SpoolDamagedError, SpoolError, SpoolFullError, advice
from uploader.spool.layout import DATABASE, descriptor_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Errors of the file itself, not of what was asked of it.
_DAMAGE = (
    "malformed", "not a database", "disk image", "no such", "Could not decode", "unsupported file",
)  # fmt: skip

#: Of the system: SQLite says no more than that, and what the matter is has to be found out.
_SYSTEM = ("unable to open database", "disk I/O error", "full")

SCARCE = 256 << 10  #: bytes; with fewer free, SQLite's log and its shared memory may not grow
SPARE_FILES = 8  #: descriptors, more than SQLite has open at a time


@contextmanager
def damage_named(directory: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file itself into ours; those of what was asked go through."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if any(word in text for word in _SYSTEM) and (number := _cause(directory, text)):
            raise _refused(directory, text, number) from error
        if "readonly" in text:
            msg = (
                f"the spool's database {directory / DATABASE} cannot be written: {text}; is its "
                "file system mounted read-only, or is the file somebody else's?"
            )
            raise SpoolError(msg) from error
        if "locked" in text or "locking protocol" in text:
            msg = (
                f"the spool's database {directory / DATABASE} gives no lock: {text}; nothing is "
                "lost: another process keeps it for too long, or its file system cannot lock"
            )
            raise SpoolError(msg) from error
        if "unable to open database" in text:
            msg = (
                f"the spool's database {directory / DATABASE} could not be opened: {text}; nothing "
                "is lost: try again, and see whether its directory can be read and written"
            )
            raise SpoolError(msg) from error
        if any(word in text for word in _DAMAGE):
            raise damaged(directory, text) from error
        raise
    except UnicodeDecodeError as error:  # in the words of an error, or of the schema
        raise damaged(directory, str(error)) from error


def is_certain(error: SpoolFullError) -> bool:
    """Tell whether the commit that met this is not there: SQLite could not write all of it.

    After a failure that it only calls one of input and output that is not known.
    """
    return "full" in str(error.__cause__)


def only_to_read(database: Path) -> bool:
    """Tell whether this process has the database open, but cannot write to it."""
    with suppress(OSError):
        descriptor = descriptor_of(database)
        if descriptor is not None:
            return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    return False


def damaged(directory: Path, how: str) -> SpoolDamagedError:
    """Return the error of a database that cannot be read; it says what to do."""
    return SpoolDamagedError(
        f"the spool's database {directory / DATABASE} cannot be read: {how}. Nothing was "
        f"changed. The artifacts' bytes are in {directory / 'blobs'}; keep a copy of the whole "
        "directory before you try to repair the database (sqlite3's .recover)"
    )


def _refused(directory: Path, how: str, number: int) -> SpoolError:
    """Return the error of a database that the system does not let us use."""
    what = f"the spool's database {directory / DATABASE} cannot be used: {how}"
    why = OSError(number, os.strerror(number))
    if number == errno.ENOSPC:
        return SpoolFullError(f"{what}; nothing is lost: free space in {directory} (df, df -i)")
    todo = advice(why) or "check its permissions, and those of its directory"
    return SpoolError(f"{what} ({why.strerror}); nothing is lost: {todo}")


def _cause(directory: Path, how: str) -> int:
    """Find out what the system has against the database: an error's number; 0 if nothing.

    The database itself is not opened for it: closing it would take away SQLite's locks on it.
    """
    database = directory / DATABASE
    if "full" in how:
        return errno.ENOSPC
    return (
        _state_of_disk(directory)
        or _limit_met(directory, database)
        or (errno.EIO if "I/O" in how else 0)
    )


def _state_of_disk(directory: Path) -> int:
    disk = os.statvfs(directory)
    if disk.f_flag & os.ST_RDONLY:
        return errno.EROFS
    no_inodes = bool(disk.f_files) and not disk.f_favail
    return errno.ENOSPC if disk.f_bavail * disk.f_frsize < SCARCE or no_inodes else 0


def _limit_met(directory: Path, database: Path) -> int:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    files = [path for path in (str(database), f"{database}-wal") if os.path.exists(path)]
    if limit != resource.RLIM_INFINITY and any(os.stat(p).st_size + SCARCE > limit for p in files):
        return errno.EFBIG
    if files and not all(os.access(path, os.R_OK | os.W_OK) for path in files):
        return errno.EACCES
    opened: list[int] = []
    try:
        while len(opened) < SPARE_FILES:
            opened.append(os.open(directory, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno or 0
    finally:
        for one in opened:
            os.close(one)
    return 0
