"""Let one drain meet all that can happen to blobs and rows, and strangers in the spool."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.damage.harms import HARMS, MENDED, TWICE, in_item, in_row
from tests.damage.ward import CONTENT, PART, Ward, strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/dev/shm")  #: a disk would cost half a minute of fsyncs, and show nothing more
LARGE = bytes(range(256)) * (3 * PART // 256)


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """Return a directory for all of this room, in memory where there is such a file system."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(memory: Path) -> Iterator[Path]:
    """Return a directory of the test's own."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def ward(memory: Path) -> Ward:
    """The spool after its drain."""
    (memory / "ward").mkdir()
    return _drained(memory / "ward")


def _drained(folder: Path) -> Ward:
    ward = Ward(folder)
    ward.admit("healthy/one")
    _harm_blobs(ward)
    _edit_rows(ward)
    _plant_strangers(ward)
    ward.admit("healthy/last")
    ward.drain()
    return ward


def _harm_blobs(ward: Ward) -> None:
    for name in ("truncated", "zeroed", "flipped", "grown", "missing", "symlink", "fifo", "socket"):
        ward.admit(name)
    ward.admit("directory")
    for name in ("large-flipped", "large-truncated"):
        ward.admit(name, LARGE)
    flipped = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    ward.harm("truncated", lambda blob: os.truncate(blob, 5))
    ward.harm("zeroed", lambda blob: blob.write_bytes(bytes(len(CONTENT))))
    ward.harm("flipped", lambda blob: blob.write_bytes(flipped))
    ward.harm("grown", lambda blob: blob.write_bytes(CONTENT + b" and more"))
    ward.harm("missing", os.unlink)
    (ward.folder / "elsewhere").write_bytes(CONTENT)  # the right bytes, in the wrong place
    ward.harm("symlink", lambda blob: _replaced(blob).symlink_to(ward.folder / "elsewhere"))
    ward.harm("fifo", lambda blob: os.mkfifo(_replaced(blob)))
    ward.harm("socket", _socket_at)
    ward.harm("directory", lambda blob: _replaced(blob).mkdir())
    middle = LARGE[: PART + 7] + b"\xff" + LARGE[PART + 8 :]
    ward.harm("large-flipped", lambda blob: blob.write_bytes(middle))
    ward.harm("large-truncated", lambda blob: os.truncate(blob, 2 * PART + 5))


def _edit_rows(ward: Ward) -> None:
    for name, harm in HARMS.items():
        ward.admit(name)
        ward.suffer(harm, name)
    for name, (column, value, _) in TWICE.items():
        ward.admit(name)
        _edit_both(ward, name, column, value)
    for name, (column, value) in MENDED.items():
        ward.admit(name)
        ward.suffer(in_row(column, value, ""), name)
    ward.link("healthy/one", "link-target-leaves")
    _edit_both(ward, "link-target-leaves", "target", "../../../etc/passwd")


def _edit_both(ward: Ward, name: str, column: str, value: object) -> None:
    ward.suffer(in_item(column, value, ""), name)
    ward.suffer(in_row(column, value, ""), name)


def _plant_strangers(ward: Ward) -> None:
    for path, is_directory in strangers(ward).items():
        if is_directory:
            path.mkdir(parents=True)
        else:
            path.write_text("somebody's")


def _replaced(blob: Path) -> Path:
    blob.unlink()
    return blob


def _socket_at(blob: Path) -> None:
    blob.unlink()
    before = os.getcwd()
    os.chdir(blob.parent)  # its path is too long for a socket's address
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(blob.name)
    finally:
        os.chdir(before)
