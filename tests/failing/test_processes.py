"""Has calls fail in the real processes of a drain: supervisor, fork server and workers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failing.cases import MEMORY
from tests.failing.shim import ALWAYS, SOURCE, Fault, Kind, Shim
from tests.failing.stage import PART, Stage
from tests.power.tracing import CannotTraceError, compiled
from uploader.drain.terms import Ending

TIMEOUT = ("--timeout", "5s")  #: for a drain that would go on trying
WITHIN = 40.0  #: seconds in which it has to be gone, however busy the machine is


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a directory in memory: no fsync has to hold here."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="uploader-failing-", dir=where) as path:
        yield Path(path)


@pytest.fixture
def stage(folder: Path) -> Stage:
    """A spool with small files, one in parts, and a symlink."""
    try:
        compiled(SOURCE)
    except CannotTraceError as error:
        if os.geteuid() == 0:
            raise
        pytest.skip(f"NO CALL FAILED: {error}")
    stage = Stage(folder)
    stage.lay()
    with stage.opened() as spool:
        for name, size in (("a.pt", 9000), ("b.pt", 100), ("large.pt", 2 * PART + 5000)):
            data = stage.next(size)
            spool.put_file(name, stage.holding(data))
            stage.owes(name, data)
        spool.put_symlink("b.pt", "latest")
        stage.owes("latest", "b.pt")
    return stage


CASES = [
    (Fault(Kind.WRITE, 3, errno.ENOSPC, ALWAYS, "-wal"), {7}),
    (Fault(Kind.SYNC, 2, errno.EIO, ALWAYS, "-wal"), {6}),
    (Fault(Kind.SYNC, 2, errno.EIO, 1, "-wal"), {6}),
    (Fault(Kind.OPEN, 1, errno.EMFILE, ALWAYS, "/blobs/"), {4}),
    (Fault(Kind.OPEN, 1, errno.EMFILE, ALWAYS, "/there"), {4}),
    (Fault(Kind.WRITE, 2, errno.EIO, ALWAYS, "/there"), {4}),
    (Fault(Kind.SYNC, 1, errno.EIO, 3, "/there"), {0}),
    (Fault(Kind.UNLINK, 1, errno.EIO, ALWAYS, "/blobs/"), {0}),
]


@pytest.mark.parametrize(("fault", "codes"), CASES, ids=str)
def test_a_drain_whose_calls_fail_ends_with_its_code(
    stage: Stage, folder: Path, fault: Fault, codes: set[int]
) -> None:
    """In words, in time; what arrived is acknowledged by the next drain, and nothing is lost."""
    shim = Shim(folder / "state", stage.base)
    command = [sys.executable, "-m", "uploader", "drain", "--spool", str(stage.spool)]
    with shim.armed(fault):
        ended = subprocess.run(
            [*command, *(TIMEOUT if codes == {4} else ())],
            env={**os.environ, **shim.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN,
        )
    assert shim.failed, "no call failed"
    assert ended.returncode in codes, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "internal error" not in ended.stderr
    assert stage.drained() is Ending.EMPTY
    assert stage.wrong() == []
