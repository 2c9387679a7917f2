"""A disk whose power went comes back only once nobody has the old one any more."""

from __future__ import annotations

import concurrent.futures
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.volumes import CannotMountError, sync
from tests.power.plug import Disk, disk

ELSEWHERE = ("unshare", "--mount", "sh", "-c", "echo mounted here too; read line")


@pytest.fixture(params=["ext4", "xfs"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A file system of each kind; where none can be made that is told as what it is."""
    try:
        with disk(request.param, tmp_path) as made:
            yield made
    except CannotMountError as error:
        pytest.xfail(f"NOT TESTED on {request.param}: {error}")


def test_it_waits_for_a_mount_in_another_namespace(made: Disk) -> None:
    """As one that another test's container made: a second device for one image ruins it."""
    (made.root / "file").write_bytes(b"bytes")
    sync(made.root)
    with (
        concurrent.futures.ThreadPoolExecutor() as threads,
        subprocess.Popen(ELSEWHERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as elsewhere,
    ):
        assert elsewhere.stdout
        assert elsewhere.stdout.readline()
        back = threads.submit(made.come_back)
        assert not concurrent.futures.wait([back], timeout=1).done
        elsewhere.communicate(b"leave\n", timeout=10)
        back.result(timeout=30)
    assert (made.root / "file").read_bytes() == b"bytes"
