"""Takes a mounted file system away as a power loss does: nothing that is in memory is written."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.volumes import mount, mounted, unmount

#: ioctl(2) of XFS and ext4: FS_IOC_SHUTDOWN, and its flag "the log is not flushed".
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

SIZES = {"ext4": 256 << 20, "xfs": 512 << 20}  #: bytes of the image, by kind: XFS takes 300 MiB


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
        unmount(self._image, self.root)
        mount(self._image, self.root)


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Disk]:
    """Yield a new file system; `CannotMountError` where none can be made."""
    with mounted(kind, folder, SIZES[kind]) as root:
        yield Disk(kind, folder, root)
