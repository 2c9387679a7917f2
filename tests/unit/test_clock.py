"""Hold how durations are read."""

from __future__ import annotations

import pytest

from uploader.clock import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("25s", 25),
        ("10m", 600),
        ("1h30m", 5400),
        ("1d", 86400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 2H ", 7200),
        ("0", 0),
        ("1m30", 90),
    ],
)
def test_a_duration_is_read_as_people_type_it(text: str, seconds: float) -> None:
    """Seconds by default, else with a unit, or several."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5", "10 m", "5x", "1h-30m", "inf", "nan", "1e9", "5."])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message says what would be one."""
    with pytest.raises(ValueError, match=r"not a duration: .*write seconds"):
        parse_duration(text)
