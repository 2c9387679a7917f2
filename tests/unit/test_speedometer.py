"""The speedometer knows how fast large steps go."""

from __future__ import annotations

from uploader.drain.schedule import Speed
from uploader.drain.speedometer import STEPS, WEIGHTY, Speedometer


def test_before_a_large_step_no_speed_is_known() -> None:
    """Small ones say how long a request takes; a limit is believed."""
    speedometer = Speedometer()
    speedometer.add(WEIGHTY - 1, 1.0, 4)
    assert speedometer.speed(None) is None
    assert speedometer.speed(100.0) == Speed(one=100.0, all=100.0)


def test_the_speed_is_that_of_the_workers_together() -> None:
    """Idle time between steps does not count, nor more than is allowed."""
    speedometer = Speedometer()
    for _ in range(4):
        speedometer.add(8 << 20, 2.0, 4)
    assert speedometer.speed(None) == Speed(one=4 << 20, all=16 << 20)
    assert speedometer.speed(10 << 20) == Speed(one=4 << 20, all=10 << 20)


def test_the_speed_forgets_what_was_long_ago() -> None:
    """It is that of the last steps."""
    speedometer = Speedometer()
    for _ in range(STEPS):
        speedometer.add(8 << 20, 1.0, 1)
    for _ in range(STEPS):
        speedometer.add(8 << 20, 8.0, 1)
    assert speedometer.speed(None) == Speed(one=1 << 20, all=1 << 20)
