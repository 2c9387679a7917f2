"""Give a test a spool, with its destination, in directories of its own.

In memory where there is such a file system: no fact in this room needs a disk, and a spool is 256
directories and a dozen fsyncs, which made most of the time of these tests.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.place import Place

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a directory of the test's own, in memory if possible."""
    fits = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if fits else None) as directory:
        yield Path(directory)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a spool with a local destination; uploads end when the test says so."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file to be spooled."""
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path
