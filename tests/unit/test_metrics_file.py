"""The file for node_exporter: whole at any moment, readable, left to whoever writes it."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.clock import Clock
from uploader.observe.metrics_file import EVERY, HEAD, MetricsFile, name_of
from uploader.spool.ownership import process_start


class Told:
    """What is to be written."""

    text = b"uploader_workers 4\n"

    def __call__(self) -> bytes:
        """Return it."""
        return self.text


@pytest.fixture
def told() -> Told:
    """Something to write."""
    return Told()


def test_it_is_written_every_few_seconds_and_whole(
    tmp_path: pathlib.Path, time: Clock, told: Told
) -> None:
    """By a rename: a reader that has the old file open reads that to its end."""
    path = tmp_path / "one.prom"
    writing = MetricsFile(str(path), "/spool", told)
    writing.tick()
    with path.open("rb") as reader:
        told.text = b"uploader_workers 5\n"
        time.now += EVERY / 2
        writing.tick()
        assert path.read_bytes().endswith(b"uploader_workers 4\n")
        time.now += EVERY / 2
        writing.tick()
        assert path.read_bytes().endswith(b"uploader_workers 5\n")
        assert reader.read().endswith(b"uploader_workers 4\n")
    assert [one.name for one in tmp_path.iterdir()] == ["one.prom"]


def test_every_user_may_read_it_whatever_the_umask(tmp_path: pathlib.Path, told: Told) -> None:
    """node_exporter is another user."""
    before = os.umask(0o077)
    try:
        MetricsFile(str(tmp_path / "one.prom"), "/spool", told).write()
    finally:
        os.umask(before)
    assert (tmp_path / "one.prom").stat().st_mode & 0o777 == 0o644


def test_a_directory_takes_a_file_for_each_spool(tmp_path: pathlib.Path, told: Told) -> None:
    """Named for people, and apart also where the last part of the path is the same."""
    for spool in ("/a/spool", "/b/spool", "/c/with space"):
        MetricsFile(str(tmp_path), spool, told).write()
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == sorted(map(name_of, ("/a/spool", "/b/spool", "/c/with space")))
    assert [name.rpartition("-")[0] for name in names] == [
        "uploader-spool", "uploader-spool", "uploader-with_space",
    ]  # fmt: skip
    assert all(name.endswith(".prom") for name in names)


def test_a_temporary_file_that_was_planted_is_not_followed(
    tmp_path: pathlib.Path, told: Told
) -> None:
    """Nor one in the way that a killed process left."""
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    path = tmp_path / "one.prom"
    (tmp_path / ".one.prom.tmp").symlink_to(victim)
    MetricsFile(str(path), "/spool", told).write()
    assert victim.read_text() == "keep me"
    assert path.read_bytes().endswith(told.text)
    assert not path.is_symlink()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def test_a_file_that_another_live_process_writes_is_left_to_it(
    tmp_path: pathlib.Path,
    time: Clock,
    told: Told,
    other: subprocess.Popen[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told once; when the other is gone the file is ours."""
    path = tmp_path / "one.prom"
    who = {"spool": "/other", "pid": other.pid, "started": process_start(other.pid)}
    theirs = f"{HEAD}{json.dumps(who)}\nuploader_workers 9\n"
    path.write_text(theirs)
    writing = MetricsFile(str(path), "/spool", told)
    for _ in range(3):
        writing.tick()
        time.now += EVERY
    assert path.read_text() == theirs
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"process {other.pid} writes it, for spool /other" in line
    assert "--metrics-file DIR" in line
    other.communicate()
    writing.tick()
    assert path.read_bytes().endswith(told.text)


@pytest.mark.parametrize(
    "text",
    ["", "hello", HEAD, f"{HEAD}[]", f'{HEAD}{{"pid": -1, "started": 0}}', HEAD + "[" * 9999],
)
def test_a_file_that_says_nothing_of_a_writer_is_replaced(
    tmp_path: pathlib.Path, told: Told, text: str
) -> None:
    """Whatever stands in it."""
    path = tmp_path / "one.prom"
    path.write_text(text)
    MetricsFile(str(path), "/spool", told).write()
    assert path.read_bytes().endswith(told.text)


def test_a_place_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: pathlib.Path, time: Clock, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is raised: no upload stops for it."""
    caplog.set_level(logging.INFO, "uploader")
    folder = tmp_path / "not" / "there"
    writing = MetricsFile(str(folder / "one.prom"), "/spool", told)
    for _ in range(3):
        writing.tick()
        time.now += EVERY
    folder.mkdir(parents=True)
    writing.tick()
    first, second = (one.getMessage() for one in caplog.records)
    assert "No such file or directory. Uploads go on" in first
    assert second.endswith("are written to " + str(folder / "one.prom") + " again")


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: this machine does not let us mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_costs_the_metrics_alone(
    small_disk: pathlib.Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """What was there stays whole; nothing is left in its way."""
    path = small_disk / "one.prom"
    writing = MetricsFile(str(path), "/spool", told)
    writing.write()
    told.text = b"x" * (1 << 20)
    writing.write()
    assert "No space left on device" in caplog.text
    assert path.read_bytes().endswith(b"uploader_workers 4\n")
    assert [one.name for one in small_disk.iterdir()] == ["one.prom"]
