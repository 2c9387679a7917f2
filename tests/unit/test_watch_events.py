"""What becomes of a watch that the kernel tells nothing, or tells wrongly."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest
from watchdog.observers.inotify import InotifyObserver

from uploader.watch import events
from uploader.watch.events import EVERYTHING, Events


def test_what_happens_is_told_and_what_does_not_matter_is_not(tmp_path: Path) -> None:
    """A file that is closed, and one that is moved; not one that is read, or being written."""
    told = Events()
    (tmp_path / "read").write_text("x")
    told.begin(str(tmp_path))
    try:
        assert told.flow
        (tmp_path / "read").read_text()
        with (tmp_path / "closed").open("w") as file:
            file.write("x")
        (tmp_path / "closed").rename(tmp_path / "moved")
        found: set[str | None] = set()
        while str(tmp_path / "moved") not in found:
            found |= told.wait(10)
        assert found == {str(tmp_path / "closed"), str(tmp_path / "moved")}
    finally:
        told.end()
    assert not told.flow


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_a_limit_of_the_kernel_is_named_with_what_raises_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """No more instances, or no more watches: scans do it then."""

    class Limited(InotifyObserver):
        def __init__(self) -> None:
            if number == errno.EMFILE:
                raise OSError(number, os.strerror(number))
            super().__init__()

        def on_thread_start(self) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(events, "InotifyObserver", Limited)
    told = Events()
    told.begin(str(tmp_path))
    assert not told.flow
    assert "raise fs.inotify.max_user_watches" in caplog.text
    assert told.wait(0) == set()


def test_a_warning_of_the_library_asks_for_a_scan(tmp_path: Path) -> None:
    """That is how it says that events were lost; nothing of it gets to stderr by itself."""
    told = Events()
    told.begin(str(tmp_path))
    try:
        logging.getLogger("watchdog.observers.inotify_c").warning("events were lost")
        assert told.wait(10) == {EVERYTHING}
    finally:
        told.end()
    assert not logging.getLogger("watchdog").handlers


def test_to_be_woken_is_to_be_told_nothing() -> None:
    """As a signal's handler does."""
    told = Events()
    told.wake()
    assert told.wait(10) == set()
