"""Hold how the throughput is measured."""

from __future__ import annotations

import pytest

from uploader import clock
from uploader.drain.meter import WINDOW, Meter


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Be the clock: its last element is now."""
    ticks = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: ticks[-1])
    return ticks


def test_nothing_sent_is_no_throughput(time: list[float]) -> None:
    """Also in the first instant, when no time has passed."""
    assert Meter().rate() == 0


def test_the_rate_is_that_of_the_time_so_far(time: list[float]) -> None:
    """Before the window is full it is not averaged over time that was not."""
    meter = Meter()
    time.append(1002.0)
    meter.add(100)
    meter.add(100)
    assert meter.rate() == 100


def test_the_rate_looks_back_a_window_and_no_further(time: list[float]) -> None:
    """What was sent before it no longer counts."""
    meter = Meter()
    meter.add(1_000_000)
    time.append(1000.0 + WINDOW + 1)
    meter.add(500)
    assert meter.rate() == 500 / WINDOW
    time.append(time[-1] + WINDOW + 1)
    assert meter.rate() == 0


def test_each_upload_has_the_rate_of_its_own_time(time: list[float]) -> None:
    """From the begin of its first part; one that is not sent any more has none."""
    meter = Meter()
    meter.add(0, "first", seconds=1.0)  # its begin
    assert meter.rates() == {}
    time.append(1020.0)
    meter.add(100, "first", seconds=4.0)
    meter.add(7)
    time.append(1021.0)
    meter.add(100, "first", seconds=1.0)
    meter.add(30, "second", seconds=1.0)
    assert meter.rates() == {"first": 200 / 5, "second": 30.0}
    time.append(1021.0 + WINDOW + 1)
    assert meter.rates() == {}
