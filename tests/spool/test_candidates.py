"""Which uploads a supervisor looks up to start, without a deadline."""

from __future__ import annotations

import pytest

from tests.place import Place
from uploader.drain import candidates
from uploader.drain.candidates import Candidates
from uploader.drain.terms import Deadline


@pytest.fixture
def window(place: Place, monkeypatch: pytest.MonkeyPatch) -> Candidates:
    """A window that holds four, over a backlog of six."""
    monkeypatch.setattr(candidates, "WINDOW", 4)
    monkeypatch.setattr(candidates, "HELD", 0.0)
    for number in range(6):
        place.put(f"large{number}", "x")
    window = Candidates(place.spool.ledger, Deadline())
    assert window.look()
    return window


def names(window: Candidates) -> list[str]:
    """Return the names of what may start, in the order in which it would."""
    return [upload.name for upload in window]


def test_the_window_is_looked_up_again_when_the_last_of_it_has_gone(window: Candidates) -> None:
    """Not before: a backlog of small files would be read again with each of them."""
    assert names(window) == ["large0", "large1", "large2", "large3"]
    window.started(list(window)[:3])
    assert not window.look()
    window.started(list(window))
    assert window.look()


def test_what_may_not_start_hides_nothing_behind_it(window: Candidates, place: Place) -> None:
    """However many there are: what was logged last is found at the new end."""
    place.put("small", "x")
    window.passed_over()
    assert window.look()
    assert names(window)[:2] == ["large0", "large1"], "the order is that of the log calls"
    assert names(window)[-1] == "small"
    window.started(list(window)[-1:])
    place.put("next", "x")
    assert window.look(), "also while no worker is free"
    assert names(window)[-1] == "next"


def test_what_is_passed_over_is_not_looked_past_without_end(
    window: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, and at once only behind what could be started."""
    monkeypatch.setattr(candidates, "HELD", 3600.0)
    window.passed_over()
    assert window.look()
    window.passed_over()
    assert not window.look()
    window.started(list(window)[:1])
    window.passed_over()
    assert window.look()
