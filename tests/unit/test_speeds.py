"""Speeds come from looks at how much was sent, however unevenly it arrives."""

from __future__ import annotations

from uploader.model import InFlight
from uploader.observe.speeds import WINDOW, Speed, Speeds


def flight(name: str, sent: int) -> InFlight:
    """Make an upload under way."""
    return InFlight(name, name, 1000, sent, 0, 10, 1)


def test_a_first_look_tells_no_speed() -> None:
    """What was sent by then may be somebody else's, from before."""
    assert Speed().look(1.0, 500) == 0


def test_parts_that_arrive_at_once_are_spread_over_the_time_between() -> None:
    """Else every other look would say that it stands still."""
    speed = Speed()
    assert [speed.look(float(at), 100 * (at // 5)) for at in range(11)][-1] == 20


def test_looks_are_remembered_for_a_while() -> None:
    """What was long ago says nothing of now; looks that are far apart still say something."""
    speed = Speed()
    speed.look(0.0, 0)
    speed.look(1.0, 1000)
    assert speed.look(WINDOW + 1, 1000 + 10 * int(WINDOW)) == 10
    assert speed.look(5 * WINDOW, 1000 + 10 * int(WINDOW)) == 0


def test_what_begins_anew_is_measured_anew() -> None:
    """A session that was lost starts at nothing: no negative speed."""
    speed = Speed()
    speed.look(0.0, 500)
    assert speed.look(1.0, 0) == 0
    assert speed.look(2.0, 50) == 50


def test_uploads_have_speeds_of_their_own() -> None:
    """One that is not there any more is forgotten, also if its name comes again."""
    speeds = Speeds()
    speeds.look(0.0, [flight("a", 0), flight("b", 100)])
    assert speeds.look(2.0, [flight("a", 10), flight("b", 300)]) == {"a": 5.0, "b": 100.0}
    assert speeds.look(3.0, [flight("b", 300)]) == {"b": 200 / 3}
    assert speeds.look(4.0, [flight("a", 500), flight("b", 300)]) == {"b": 50.0}
