"""Says which call of the system is to fail, to this process and to those that it starts.

`failing.c` is preloaded there, and looks into a file of shared memory that is written here.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tests.power.tracing import compiled

SOURCE = Path(__file__).with_name("failing.c")
VARIABLE = "FAILING_STATE"
ALWAYS = -1
SHORT = 0  #: instead of an errno: a write comes back short


class Kind(IntEnum):
    """What is asked of the system; the numbers are those of `failing.c`."""

    OPEN = 1
    READ = 2
    WRITE = 3
    SYNC = 4
    RENAME = 5
    LINK = 6  #: and symlink
    UNLINK = 7  #: and rmdir
    MKDIR = 8
    RESIZE = 9  #: ftruncate, fallocate
    CLONE = 10
    LOCK = 11  #: flock, and fcntl's
    MAP = 12  #: SQLite's shared memory
    STAT = 13
    LIST = 14  #: opendir, readdir
    ATTRIBUTE = 15
    SPACE = 16  #: statvfs
    MODE = 17
    TIMES = 18
    CLOSE = 19


_ALL = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES)
_LOOKING = (errno.EIO, errno.EMFILE, errno.EACCES)

#: What may come of each kind; EINTR where the manual has it.
ERRORS: dict[Kind, tuple[int, ...]] = {
    **dict.fromkeys(Kind, _ALL),
    **dict.fromkeys((Kind.STAT, Kind.LIST, Kind.MODE, Kind.TIMES, Kind.SPACE), _LOOKING),
    Kind.OPEN: (*_ALL, errno.EINTR),
    Kind.READ: (*_LOOKING, errno.EINTR),
    Kind.WRITE: (*_ALL, errno.EINTR, SHORT),
    Kind.SYNC: (*_ALL, errno.EINTR),
    Kind.RESIZE: (*_ALL, errno.EINTR),
    Kind.CLONE: (*_ALL, errno.EINTR),
    Kind.LOCK: (*_LOOKING, errno.EINTR, errno.ENOLCK),
    Kind.CLOSE: (errno.EIO, errno.ENOSPC, errno.EINTR),
}


@dataclass(frozen=True)
class Fault:
    """One call that fails, or several."""

    kind: Kind
    first: int  #: which of its kind, from 1
    error: int
    count: int = 1  #: in a row; `ALWAYS`: until the cause is gone
    only: str = ""  #: of those calls that have this in their path

    def __str__(self) -> str:
        """Say it in a line."""
        name = errno.errorcode.get(self.error, "a short write")
        where = f" of {self.only}" if self.only else ""
        once = "from then on" if self.count == ALWAYS else f"{self.count} in a row"
        return f"{self.kind.name.lower()} {self.first}{where}: {name}, {once}"


class _State(ctypes.Structure):
    _fields_ = (
        ("armed", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("failed", ctypes.c_int32),
        ("calls", ctypes.c_int32 * 32),
        ("root", ctypes.c_char * 512),
        ("only", ctypes.c_char * 64),
        ("path", ctypes.c_char * 512),
    )


class Shim:
    """The file of shared memory."""

    def __init__(self, path: Path, root: Path) -> None:
        """Use `path`, made if there is none; what fails is below `root`."""
        self._path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(descriptor, ctypes.sizeof(_State))
        self._state = _State.from_buffer(mmap.mmap(descriptor, ctypes.sizeof(_State)))
        os.close(descriptor)
        self._root = str(root).encode()

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs in which calls are to fail."""
        return {"LD_PRELOAD": str(compiled(SOURCE)), VARIABLE: str(self._path)}

    @contextmanager
    def armed(self, fault: Fault | None) -> Iterator[None]:
        """Have calls fail; with None only count them."""
        state = self._state
        ctypes.memset(ctypes.byref(state), 0, ctypes.sizeof(_State))
        if fault:
            state.first, state.count, state.error = fault.first, fault.count, fault.error
            state.only = fault.only.encode()
            state.armed = fault.kind
        state.root = self._root
        try:
            yield
        finally:
            state.armed, state.root = 0, b""

    @property
    def calls(self) -> dict[Kind, int]:
        """How many calls of each kind there were while it was armed."""
        return {kind: self._state.calls[kind] for kind in Kind if self._state.calls[kind]}

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(self._state.failed)

    @property
    def path(self) -> str:
        """What the first that failed was called for."""
        return bytes(self._state.path).decode()
