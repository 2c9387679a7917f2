"""Makes a file system fail for real: it is full, has no inodes, or may not be written to.

As root only. Where none can be mounted a test says loudly that nothing was tested.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.bench.volumes import CannotMountError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY = 5.0  #: seconds in which a worker must have closed what it wrote
PAGE = 4096  #: bytes; a tmpfs gives room by the page


class Tmpfs:
    """A small file system in memory."""

    def __init__(self, root: Path) -> None:
        """Know where it is mounted."""
        self.root = root
        self._filler = root / "filler"

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with self._filler.open("ab") as file:
            free = self.free() - leave
            if free > 0:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)

    def take_inodes(self, leave: int = 0) -> None:
        """Take all inodes but some."""
        number = os.statvfs(self.root).f_ffree - leave - 1
        (self.root / "many").mkdir()
        for one in range(number):
            (self.root / "many" / str(one)).touch()

    def free(self) -> int:
        """Return the bytes that are free."""
        facts = os.statvfs(self.root)
        return facts.f_bavail * facts.f_frsize

    def make_room(self) -> None:
        """Have the cause go away."""
        self._filler.unlink(missing_ok=True)
        many = self.root / "many"
        if many.exists():
            for path in many.iterdir():
                path.unlink()
            many.rmdir()

    def remount(self, how: str) -> None:
        """Mount it `ro`, once nobody has a file open for writing there, or `rw`."""
        until = time.monotonic() + BUSY
        while True:
            try:
                return _call("mount", "-o", f"remount,{how}", str(self.root))
            except CannotMountError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


@contextmanager
def tmpfs(folder: Path, size: int = 16 << 20, inodes: int = 4000) -> Iterator[Tmpfs]:
    """Yield a new one of `size` bytes; `CannotMountError` where none can be had."""
    if os.geteuid():
        raise CannotMountError("only root can mount a tmpfs")
    root = folder / "tmpfs"
    root.mkdir(exist_ok=True)
    options = f"size={size},nr_inodes={inodes},mode=755"
    _call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root))
    try:
        yield Tmpfs(root)
    finally:
        _call("umount", "--lazy", str(root))  # a process of a failed test may still be there


def _call(*command: str) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMountError(f"{command[0]}: {error}") from error
    if ended.returncode:
        raise CannotMountError(f"{' '.join(command)}: {ended.stderr.strip()}")
