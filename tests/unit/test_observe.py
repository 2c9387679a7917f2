"""What people see while it runs: log lines and progress, on stderr."""

from __future__ import annotations

import io
import json
import logging
import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.clock import Clock
from tests.place import Place
from uploader.errors import ErrorClass
from uploader.observe import log, progress
from uploader.observe.progress import DrainProgress, counting_progress, transfer_progress


class Terminal(io.StringIO):
    """Something that a bar may be drawn on."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was found."""
    logger = logging.getLogger("uploader")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate, logger.level = before


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    """A spool with a local destination."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


def said(level: int, **options: object) -> str:
    """Log a line of each level, set up so; return what is written."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        log.set_up(level, **options)  # type: ignore[arg-type]
        logger = logging.getLogger("uploader.room")
        for number in (logging.DEBUG, logging.INFO, log.NOTICE, logging.WARNING, logging.ERROR):
            logger.log(number, "at %d", number)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({}, [25, 30, 40]),
        ({"verbose": 1}, [20, 25, 30, 40]),
        ({"verbose": 2}, [10, 20, 25, 30, 40]),
        ({"quiet": 1}, [40]),
    ],
)
def test_verbose_and_quiet_move_what_is_said(options: dict[str, object], levels: list[int]) -> None:
    """A drain says its progress, but not each upload, unless asked."""
    lines = said(log.NOTICE, **options).splitlines()
    assert [int(line.split()[-1]) for line in lines] == levels


def test_a_text_line_names_the_level_only_where_it_matters() -> None:
    """Date, time, and for trouble its level."""
    lines = said(logging.INFO).splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "at 20", "at 25", "warning: at 30", "error: at 40",
    ]  # fmt: skip


def test_a_json_line_has_the_level_and_the_traceback() -> None:
    """One object a line, also with a traceback in it."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        log.set_up(logging.INFO, log_format="json")
        try:
            int("broken")
        except ValueError:
            logging.getLogger("uploader.room").exception("it failed")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"]) == ("error", "uploader.room")
    assert record["message"].startswith("it failed\nTraceback")
    assert record["time"].endswith("+00:00")


def test_without_a_terminal_progress_is_a_line_now_and_then(
    time: Clock, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every half minute: what arrived, what is to go, what is dead."""
    place.arrive(place.put("before", "1234"))
    with caplog.at_level(log.NOTICE, "uploader"), DrainProgress(place.spool) as following:
        place.arrive(place.put("one", "123"))
        place.put("two", "1")
        place.die(place.put("three", "1"), ErrorClass.PERMANENT)
        for _ in range(61):
            following.tick()
            time.now += 1
    assert following.arrived() == (1, 3)
    lines = [record.getMessage() for record in caplog.records]
    counts = "1 uploaded, 1 to go, 1 dead letter; 3 bytes of 4 bytes sent (75 %)"
    assert lines == [f"{counts}, nothing in 30 s"] * 2


def test_a_tick_looks_at_the_database_a_few_times_a_second(
    time: Clock, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop that calls it turns a thousand times as often while answers come."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    looks = []
    tally = place.spool.ledger.tally

    def counted() -> object:
        looks.append(1)
        return tally()

    with DrainProgress(place.spool) as following:
        monkeypatch.setattr(place.spool.ledger, "tally", counted)
        for _ in range(1000):
            following.tick()
            time.now += 0.001
    assert 0 < len(looks) <= 2 * 1 / progress.LOOK


def test_a_look_does_not_swallow_a_change_that_the_schedule_must_see(
    time: Clock, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Spool.changed()` tells each change once, and the supervisor asks the same spool."""
    place.spool.changed()
    with DrainProgress(place.spool) as following:
        other = Place(place.folder)
        other.put("one", "1")
        other.spool.close()
        time.now += progress.LINE
        following.tick()
    assert place.spool.changed()


def test_on_a_terminal_a_bar_is_drawn_and_taken_away(
    time: Clock, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the counts beside it; log lines go above it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log.set_up(logging.INFO)
    with DrainProgress(place.spool) as following:
        place.arrive(place.put("one", "123"))
        time.now += 1
        following.tick()
        logging.getLogger("uploader.room").warning("look at me")
    drawn = terminal.getvalue()
    assert "1 uploaded, 0 to go" in drawn
    assert "warning: look at me" in drawn
    assert "\x1b[2K" in drawn  # the bar's line is erased
    assert sys.stderr is terminal


def test_a_transfer_shows_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A script's log is not for bars."""
    with transfer_progress("one") as show, counting_progress("verified") as count:
        show(1, 2)
        count("one")
    assert capsys.readouterr() == ("", "")


def test_a_transfer_is_drawn_on_a_terminal(time: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the artifact's name; a count by its number."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with transfer_progress("ckpt/ep1.pt") as show:
        show(1 << 20, 2 << 20)
    with counting_progress("verified") as count:
        time.now += 1
        count("one")
    assert "ckpt/ep1.pt" in terminal.getvalue()
    assert "verified 1" in terminal.getvalue()
