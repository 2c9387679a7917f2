"""Takes a mounted file system away as a power loss does: nothing that is in memory is written."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.volumes import mount, mounted

#: ioctl(2) of XFS and ext4: FS_IOC_SHUTDOWN, and its flag "the log is not flushed".
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

SIZES = {"ext4": 256 << 20, "xfs": 512 << 20}  #: bytes of the image, by kind: XFS takes 300 MiB
UNMOUNT_LIMIT = 15.0  #: seconds in which processes that had files open there must have ended


def shut_down(directory: str) -> None:
    """Take away the file system that holds a directory; its disk keeps what it has."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("=I", NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


class Disk:
    """A file system that can lose its power."""

    def __init__(self, kind: str, folder: Path, root: Path) -> None:
        """Know where it is mounted."""
        self.kind, self.root = kind, root
        self._image = folder / f"{kind}.image"

    def come_back(self) -> None:
        """Mount it again, which replays its log; whoever used it must have ended, or be ending."""
        until = time.monotonic() + UNMOUNT_LIMIT
        while (ended := _unmounted(self.root)) and time.monotonic() < until:
            time.sleep(0.02)
        assert not ended, ended
        mount(self._image, self.root)


def _unmounted(root: Path) -> str:
    """Unmount; return why not, else nothing."""
    ended = subprocess.run(["umount", str(root)], capture_output=True, text=True, check=False)
    return ended.stderr if ended.returncode else ""


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Disk]:
    """Yield a new file system; `CannotMountError` where none can be made."""
    with mounted(kind, folder, SIZES[kind]) as root:
        yield Disk(kind, folder, root)
