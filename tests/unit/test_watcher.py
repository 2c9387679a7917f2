"""What a watch does where the kernel cannot tell who writes, and when a file changes under it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from uploader import Spool, SpoolFullError
from uploader.spool import staging
from uploader.watch import completeness
from uploader.watch import watcher as watcher_module
from uploader.watch.completeness import Rules, Writers
from uploader.watch.events import Events
from uploader.watch.intake import Intake
from uploader.watch.naming import Naming
from uploader.watch.patterns import Patterns
from uploader.watch.tree import Tree
from uploader.watch.watcher import Watcher


class Busy(Events):
    """Lets something happen at the end of each wait; waits themselves are short."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[], object] = lambda: None

    def wait(self, seconds: float) -> set[str | None]:
        """Wait a little, however long it was meant to be."""
        heard = super().wait(min(seconds, 0.05))
        self.happens()
        return heard


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool."""
    with Spool(tmp_path / "spool", (tmp_path / "remote").as_uri(), producer=False) as spool:
        yield spool


@pytest.fixture
def watcher(spool: Spool, tmp_path: Path) -> Watcher:
    """A watch of a directory with one file."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_text("x")
    tree = Tree(str(tmp_path / "out"), Patterns.of([]))
    naming = Naming("{path}", run="", rank=0)
    intake = Intake(spool, tree, naming, False, "", 0, lambda _upload_id: None)
    return Watcher(tree, intake, Busy(), rules=Rules(0.2, 5))


def append(path: Path) -> None:
    """Write a little more, and close."""
    with path.open("a") as file:
        file.write("x")


def test_on_a_shared_file_system_a_file_is_complete_when_it_was_left_alone(
    watcher: Watcher, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen to be: what its clock says is another machine's."""
    monkeypatch.setattr(Writers, "is_local", lambda *_: False)
    begun = time.monotonic()
    assert watcher.once(wait_for_room=False).spooled == 1
    assert time.monotonic() - begun >= 0.2
    assert [one.size for one in spool.uploads()] == [1]


def test_on_a_shared_file_system_what_changes_is_being_written(
    watcher: Watcher, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--once` does not wait for it for ever; it is named, and complete another time."""
    monkeypatch.setattr(Writers, "is_local", lambda *_: False)
    events = watcher._events
    assert isinstance(events, Busy)
    events.happens = lambda: append(tmp_path / "out/file")
    findings = watcher.once(wait_for_room=False)
    assert (findings.spooled, findings.unfinished) == (0, ["file"])
    events.happens = lambda: None
    findings = watcher.once(wait_for_room=False)
    assert (findings.spooled, findings.unfinished) == (1, [])


def test_a_file_that_never_rests_does_not_hold_up_the_end(
    watcher: Watcher, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, written and closed again and again: it is being written."""
    monkeypatch.setattr(completeness, "QUIET", 1.0)  # we may be kept from looking for some time
    events = watcher._events
    assert isinstance(events, Busy)
    events.happens = lambda: append(tmp_path / "out/file")
    append(tmp_path / "out/file")
    findings = watcher.once(wait_for_room=False)
    assert (findings.spooled, findings.unfinished) == (0, ["file"])


def test_a_file_that_changes_under_the_copy_is_spooled_as_it_is_in_the_end(
    watcher: Watcher, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the mixture is left, and nothing was known of it."""
    copy, times = staging._copy, iter([True])

    def disturbed(source: staging.Source, descriptor: int) -> object:
        copied = copy(source, descriptor)
        if next(times, False):
            append(tmp_path / "out/file")
        return copied

    monkeypatch.setattr(staging, "_copy", disturbed)
    monkeypatch.setattr(staging, "_cloned", lambda *_: False)
    assert watcher.once(wait_for_room=False).spooled == 1
    assert [one.size for one in spool.uploads()] == [2]
    assert watcher.once(wait_for_room=False).spooled == 1  # none again


def test_a_file_whose_size_is_not_what_can_be_read_holds_up_no_end(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is on some file systems; each copy finds that it changed, and no look does."""
    copy = staging._copy

    def longer(source: staging.Source, descriptor: int) -> object:
        copied = copy(source, descriptor)
        os.write(descriptor, b"more")
        return copied

    monkeypatch.setattr(staging, "_copy", longer)
    monkeypatch.setattr(staging, "_cloned", lambda *_: False)
    findings = watcher.once(wait_for_room=False)
    assert (findings.spooled, findings.unfinished) == (0, ["file"])


def test_a_fault_of_the_machine_costs_no_file(
    watcher: Watcher,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named, told once, and tried again: an error of a disk, or too many open files."""
    stage, faults = staging.stage, iter([errno.EIO, errno.EMFILE])

    def failing(*given: Any) -> staging.Staged:
        fault = next(faults, 0)
        if fault:
            raise OSError(fault, os.strerror(fault))
        return stage(*given)

    monkeypatch.setattr(staging, "stage", failing)
    for _ in range(2):
        findings = watcher.once(wait_for_room=False)
        assert (findings.spooled, list(findings.refused)) == (0, ["file"])
    findings = watcher.once(wait_for_room=False)
    assert (findings.spooled, list(findings.refused)) == (1, [])
    assert "tried again: " in caplog.text
    assert "file: Input/output error" in caplog.text


def test_a_clock_that_is_set_makes_no_file_complete(
    watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's clock is often set, by minutes, just after it began to train."""
    with (tmp_path / "out/file").open("a") as file:
        file.write("half")
        file.flush()
        findings = watcher.once(wait_for_room=False)
        assert (findings.spooled, findings.unfinished) == (0, ["file"])
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 3600)
        findings = watcher.once(wait_for_room=False)
        assert (findings.spooled, findings.unfinished) == (0, ["file"])


def test_a_disk_without_room_to_forget_ends_no_watch(
    watcher: Watcher, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are often removed because it is full; what is gone is forgotten another time."""

    def full(*_: object) -> int:
        raise SpoolFullError("database or disk is full")

    monkeypatch.setattr(spool.watched, "forget", full)
    assert watcher.once(wait_for_room=False).spooled == 1


def test_an_agent_is_seen_to_while_many_files_are_taken(
    watcher: Watcher, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look at a directory may take an hour; what is spooled is uploaded meanwhile."""
    for number in range(9):
        (tmp_path / f"out/{number}").write_text("x")
    monkeypatch.setattr(watcher_module, "SLICE", 0.0)
    monkeypatch.setattr(watcher_module, "TEND_SOON", 0.0)
    monkeypatch.setattr(watcher_module, "unchanged_for", lambda _facts: 3600.0)
    spooled: list[int] = []

    def tend() -> bool:
        spooled.append(len(spool.uploads()))
        if spooled[-1] == 10:
            watcher.leave()
        return False

    watcher._tend = tend
    assert watcher.run().spooled == 10
    assert spooled[:3] == [1, 2, 3]


def kernel_watches() -> int:
    """Return of how many directories the kernel tells this process."""
    told = []
    for descriptor in os.listdir("/proc/self/fdinfo"):
        with suppress(FileNotFoundError):  # that of the listing itself
            told.append(Path(f"/proc/self/fdinfo/{descriptor}").read_text())
    return "".join(told).count("inotify wd:")


def test_directories_that_are_moved_away_do_not_add_up(
    watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel goes on to tell of them: for weeks, until there is no room for new ones."""
    before = kernel_watches()
    monkeypatch.setattr(watcher_module, "RENEW_EVERY", 0.0)
    assert watcher._follow()
    (tmp_path / "out/checkpoint").mkdir()
    events, told = watcher._events, set()
    while str(tmp_path / "out/checkpoint") not in told:
        told |= Events.wait(events, 30)
    (tmp_path / "out/checkpoint").rename(tmp_path / "archived")
    assert kernel_watches() == before + 2
    assert watcher._follow(), "and looked through, for what was not told meanwhile"
    assert kernel_watches() == before + 1
    events.end()
