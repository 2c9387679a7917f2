"""Gives a spool a small disk of its own, fills it up and makes room again.

The disk is a tmpfs, where root can mount one. Elsewhere the spool's own limit, `max_bytes`, is so
low that it is reached whenever the destination is away for a while.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAVES_FREE = 1 << 20  #: bytes that a spool on it leaves free; less than the usual, as it is small
MAX_BYTES = 24 << 20  #: of a spool that could not be given a disk
_PAGE = 1 << 16  #: bytes that the ballast grows by at a time


class SmallDisk:
    """A directory with little room."""

    def __init__(self, path: Path, *, mounted: bool) -> None:
        self.path = path
        self.mounted = mounted
        self._ballast = path / "ballast"

    @property
    def limits(self) -> dict[str, Any]:
        """Return what a spool on it is made with."""
        limits = {"min_free_bytes": LEAVES_FREE}
        return limits if self.mounted else limits | {"max_bytes": MAX_BYTES}

    def fill(self, free: int) -> None:
        """Leave only so many bytes free; 0 is none at all."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            disk = os.statvfs(self.path)
            ballast.write(bytes(max(0, disk.f_bavail * disk.f_frsize - free)))
            while not free:  # others write meanwhile, and free what they wrote
                ballast.write(bytes(_PAGE))

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[SmallDisk]:
    """Mount one of `size` bytes; at the end what was on it is in a plain directory of its name."""
    path.mkdir()
    options = f"size={size},mode=0700"
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
        capture_output=True,
        check=False,
    ).returncode
    try:
        yield SmallDisk(path, mounted=mounted)
    finally:
        if mounted:
            kept = path.with_name(f"{path.name}-kept")
            shutil.copytree(path, kept, symlinks=True)
            subprocess.run(["umount", "--lazy", str(path)], check=True)
            path.rmdir()
            kept.rename(path)
