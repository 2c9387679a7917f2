"""Tell whether a file is complete: written to its end, by all who write to it.

- Where nobody has it open for writing, it is: it was closed, or renamed here. It may still get its
  times or its mode set, as `shutil.copy2` does, so nothing about it may have changed for `QUIET`.
- Where a process has it open for writing, it must have been left alone for `still_open`. A writer
  that pauses is more likely than one that is done and keeps it open, and half a checkpoint is of no
  use to anyone.
- Where that cannot be told (another machine may be writing to it), and for a file without content,
  which many make before they fill it, it must have been left alone for `still`.

Whether it is open is told by asking for a lease: fcntl(2), F_SETLEASE, which the kernel refuses for
a file that is open for writing. It is given back at once. Who opens it for writing between the two
waits for microseconds. The rules ask what is, not what was seen to happen: so they hold after a
restart, too, and when notices of events were lost.
"""

from __future__ import annotations

import errno
import fcntl
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.spool.layout import NETWORK_FILE_SYSTEMS, file_system_of

if TYPE_CHECKING:
    from uploader.watch.tree import Facts

QUIET = 0.1  #: seconds; far above the tick of the clock that stamps files (10 ms at most)
F_SETSIG = 10  #: fcntl(2); not in Python's module before 3.13
#: Not of a network, but a machine's files seen by another one: its host, or its guest.
SHARED = NETWORK_FILE_SYSTEMS | {"virtiofs", "vboxsf", "prl_fs", "drvfs", "ncpfs"}


@dataclass(frozen=True)
class Rules:
    """How long a file must have been left alone to count as complete, in seconds."""

    still: float = 2.0
    still_open: float = 30.0

    def wait(self, size: int, *, has_writer: bool | None, still_for: float) -> float:
        """Return for how much longer; 0 if it is complete.

        `has_writer` is None where it cannot be told.
        """
        if has_writer:
            needed = self.still_open
        elif has_writer is None or not size:
            needed = self.still
        else:
            needed = QUIET
        return max(0.0, needed - still_for)


class Writers:
    """Tells which files are open for writing, where that can be told."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._local: dict[int, bool] = {}

    def is_local(self, device: int, path: str) -> bool:
        """Tell whether all who can write to a file system are on this machine.

        `device` is its number, `path` something on it.
        """
        if device not in self._local:
            try:
                kind = file_system_of(Path(path))
            except OSError:  # it is gone
                return False
            self._local[device] = kind not in SHARED and not kind.startswith("fuse")
        return self._local[device]

    def has_any(self, descriptor: int) -> bool | None:
        """Tell whether anybody has a file open for writing; None if that cannot be told."""
        try:
            # Asked by a signal to give it back: not by SIGIO, which would end this process.
            fcntl.fcntl(descriptor, F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return True if error.errno == errno.EAGAIN else None
        return False


def unchanged_for(facts: Facts) -> float:
    """Return the seconds since a file of this machine was last changed in any way; 0 at least."""
    return max(0.0, time.time() - facts.ctime_ns / 1e9)
