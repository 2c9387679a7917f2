"""When a watched file counts as complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from uploader.watch import completeness
from uploader.watch.completeness import QUIET, Rules, Writers, unchanged_for
from uploader.watch.tree import Facts

RULES = Rules(still=2, still_open=30)


@pytest.mark.parametrize(
    ("size", "has_writer", "still_for", "wait"),
    [
        (1, False, 0, QUIET),
        (1, False, QUIET, 0),
        (0, False, QUIET, 2 - QUIET),
        (0, False, 2, 0),
        (1, None, 0.5, 1.5),
        (1, None, 2, 0),
        (1, True, 2, 28),
        (1, True, 30, 0),
        (0, True, 2, 28),
    ],
)
def test_a_file_is_complete_when_it_was_left_alone_for_long_enough(
    size: int, has_writer: bool | None, still_for: float, wait: float
) -> None:
    """Closed: at once; empty, or not to be told: `settle`; open: `settle_open`."""
    assert RULES.wait(size, has_writer=has_writer, still_for=still_for) == pytest.approx(wait)


def test_a_file_has_a_writer_as_long_as_one_has_it_open(tmp_path: Path) -> None:
    """Asked of the kernel by a lease: without one who writes it is given, and given back."""
    path = tmp_path / "file"
    with path.open("wb") as writer:
        reader = os.open(path, os.O_RDONLY)
        writer.write(b"x")
        assert Writers().has_any(reader) is True
    assert Writers().has_any(reader) is False
    with path.open("ab"):  # would wait for us if the lease were still held
        assert Writers().has_any(reader) is True
    os.close(reader)


def test_what_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    """A directory has no lease; neither has a file of some file systems, or of another user."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert Writers().has_any(descriptor) is None
    os.close(descriptor)


def test_to_be_asked_for_the_lease_ends_nobody(tmp_path: Path) -> None:
    """By default that is SIGIO, which would; here it is held until somebody wants to write."""
    path = tmp_path / "file"
    path.touch()
    program = f"""if True:
        import os
        from uploader.watch import completeness
        completeness.fcntl.F_UNLCK = completeness.fcntl.F_RDLCK
        reader = os.open({str(path)!r}, os.O_RDONLY)
        assert completeness.Writers().has_any(reader) is False
        try:
            os.open({str(path)!r}, os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            print("asked for it")
    """
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "asked for it\n"), ended.stderr


@pytest.mark.parametrize(
    ("kind", "local"),
    [("ext4", True), ("tmpfs", True), ("overlay", True), ("", True), ("nfs4", False),
     ("lustre", False), ("virtiofs", False), ("fuse.anything", False)],
)  # fmt: skip
def test_the_kernel_is_asked_only_where_it_knows_all_writers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, local: bool
) -> None:
    """Not where another machine may be writing."""
    monkeypatch.setattr(completeness, "file_system_of", lambda _path: kind)
    assert Writers().is_local(tmp_path.stat().st_dev, str(tmp_path)) is local


def test_a_file_of_the_future_was_changed_just_now(tmp_path: Path) -> None:
    """The clock was set back: then only what was seen counts."""
    path = tmp_path / "file"
    path.touch()
    facts = Facts.of(path.stat())
    later = facts._replace(ctime_ns=facts.ctime_ns + 3600 * 10**9)
    assert unchanged_for(later) == 0
    assert unchanged_for(facts._replace(ctime_ns=0)) > 1e9
