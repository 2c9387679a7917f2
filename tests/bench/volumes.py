"""Makes a file system of a given kind in a file, and mounts it: as root only.

- On a loop device with direct I/O where that works: its pages are not cached a second time.
- The device lets go of its file when it is unmounted, whoever unmounts it (autoclear, losetup(8)).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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


class CannotMountError(Exception):
    """No such file system can be had here; says why, and what to do."""


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
        subprocess.run(["umount", str(root)], check=True)
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


def _call(command: Sequence[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMountError(f"{command[0]}: {error}") from error
    if ended.returncode:
        raise CannotMountError(f"{' '.join(command)}: {ended.stderr.strip()}")
    return ended.stdout.strip()
