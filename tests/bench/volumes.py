"""Makes a file system of a given kind in a file, and mounts it: as root only.

- On a loop device with direct I/O where that works: its pages are not cached a second time.
- The device lets go of its file when it is unmounted, whoever unmounts it (autoclear, losetup(8)).
- A mount namespace that was made meanwhile (unshare(1), a container) has a mount of its own, which
  `umount` here does not reach. Until that one is gone too, the file system lives, on its device: a
  second device for its image would be refused (XFS) or would ruin it (ext4).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

#: By kind: how it is made, and Debian's name of the package that can.
_MAKERS: dict[str, tuple[list[str], str]] = {
    "ext4": (
        ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
        "e2fsprogs",
    ),
    "xfs": (["mkfs.xfs", "-q", "-m", "reflink=1"], "xfsprogs"),
    "btrfs": (["mkfs.btrfs", "-q"], "btrfs-progs"),
}
SPARE = 1 << 30  #: bytes that stay free on the disk below
#: Seconds in which whoever has files open there, or a mount namespace, must have ended.
UNMOUNT_LIMIT = 60.0


class CannotMountError(Exception):
    """No such file system can be had here; says why, and what to do."""


class StillMountedError(Exception):
    """A file system is in use where nobody should use it any more; says by whom."""


@contextmanager
def mounted(kind: str, folder: Path, size: int) -> Iterator[Path]:
    """Yield the root of a new file system of `size` bytes; it is gone afterwards.

    Args:
        kind: ext4, xfs or btrfs.
        folder: where the image and the mount point are made.
        size: of the image, which takes only what is written to it.

    Raises:
        CannotMountError: not root, no loop device, no such program, no room.
    """
    maker, package = _MAKERS[kind]
    if os.geteuid():
        raise CannotMountError(f"only root can mount {kind}")
    if not shutil.which(maker[0]):
        raise CannotMountError(f"{maker[0]} is missing: apt-get install {package}")
    if shutil.disk_usage(folder).free < size + SPARE:
        raise CannotMountError(f"{folder} has no {(size + SPARE) >> 30} GiB free")
    image, root = folder / f"{kind}.image", folder / kind
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    _call([*maker, str(image)])
    mount(image, root)
    try:
        yield root
    finally:
        unmount(image, root)
        root.rmdir()
        image.unlink()


def mount(image: Path, root: Path) -> None:
    """Mount an image that holds a file system; `CannotMountError` if that cannot be done."""
    try:
        device = _call(["losetup", "--find", "--show", "--direct-io=on", str(image)])
    except CannotMountError:
        device = _call(["losetup", "--find", "--show", str(image)])
    try:
        _call(["mount", device, str(root)])
    finally:
        _call(["losetup", "--detach", device])  # at once, or when it is unmounted


def unmount(image: Path, root: Path) -> None:
    """Unmount it, and return once no namespace has it mounted any more.

    Raises:
        StillMountedError: after a minute somebody still uses it.
    """
    until = time.monotonic() + UNMOUNT_LIMIT
    _until(until, lambda: _refusal(["umount", str(root)]))
    _until(until, lambda: _call(["losetup", "--associated", str(image)]))


def sync(root: Path) -> None:
    """Have all that was written to one file system on its disk.

    `os.sync` waits for every disk of the machine, however busy others keep those; and what it
    writes to one whose power another test is about to cut would have been lost.
    """
    _call(["sync", "--file-system", str(root)])


def _until(until: float, in_the_way: Callable[[], str]) -> None:
    while words := in_the_way():
        if time.monotonic() >= until:
            raise StillMountedError(words)
        time.sleep(0.02)


def _refusal(command: Sequence[str]) -> str:
    try:
        _call(command)
    except CannotMountError as error:
        return str(error)
    return ""


def _call(command: Sequence[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMountError(f"{command[0]}: {error}") from error
    if ended.returncode:
        raise CannotMountError(f"{' '.join(command)}: {ended.stderr.strip()}")
    return ended.stdout.strip()
