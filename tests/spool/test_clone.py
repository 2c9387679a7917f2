"""Hold the copy by cloning, on a file system that can: the bytes are read later, by a worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.volumes import sync
from tests.place import Place
from uploader.checksum import crc32c
from uploader.drain.run import drain
from uploader.drain.steps import TakeChecksum

XFS_SIZE = 320 << 20  #: bytes; the least that mkfs.xfs makes, and sparse


@pytest.fixture
def xfs() -> Iterator[Path]:
    """Mount an XFS of the test's own, from a file; `scripts/test` sees to mkfs.xfs."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    assert shutil.which("mkfs.xfs"), "mkfs.xfs is missing: apt-get install xfsprogs"
    with tempfile.TemporaryDirectory() as directory:
        image, mount = Path(directory, "image"), Path(directory, "mount")
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(XFS_SIZE)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)
        try:
            yield mount
        finally:
            # Lazily: a test that failed may have left the spool open, and must not leave the mount.
            subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_clone_is_a_snapshot_that_nobody_has_read(xfs: Path) -> None:
    """It takes no time and no room; its checksum is taken before the first byte is sent."""
    place = Place(xfs)
    source = xfs / "big"
    content = os.urandom(1 << 20) * 24
    source.write_bytes(content)
    sync(xfs)
    before = os.statvfs(xfs)
    upload_id = place.spool.put_file("name", source)
    used = (before.f_bavail - os.statvfs(xfs).f_bavail) * before.f_frsize
    upload = place.spool.upload(upload_id)
    assert (upload.size, upload.crc32c) == (len(content), None)
    assert used < len(content) // 2
    source.write_bytes(b"changed after the call")
    blob = place.spool.layout.blob(upload_id)
    sums = TakeChecksum(str(blob), len(content)).perform(place.store)
    assert sums.whole == crc32c(content)
    place.spool.close()
    assert drain(place.spool.path, workers=1, timeout=40).exit_code == 0
    assert (place.remote / "name").read_bytes() == content
    assert os.getxattr(place.remote / "name", "user.uploader.crc32c").decode() == (
        f"{crc32c(content):08x}"
    )
    shutil.rmtree(place.spool.path)


def test_a_file_on_another_file_system_is_copied(xfs: Path, tmp_path: Path) -> None:
    """And read on the way, so that its checksum is known at once."""
    place = Place(xfs)
    source = tmp_path / "elsewhere"
    source.write_bytes(b"content")
    upload = place.spool.upload(place.spool.put_file("name", source))
    place.spool.close()
    assert upload.crc32c == crc32c(b"content")
