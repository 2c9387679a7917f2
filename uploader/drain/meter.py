"""Measure how fast bytes get across, over the last seconds."""

from __future__ import annotations

from collections import deque

from uploader import clock

WINDOW = 10.0  #: seconds that the rate looks back


class Meter:
    """Bytes per second over a sliding window."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._begun = clock.monotonic()
        self._events: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def add(self, size: int) -> None:
        """Take note of `size` bytes that have just arrived."""
        self._events.append((clock.monotonic(), size))
        self._bytes += size
        self._forget()

    def rate(self) -> float:
        """Return bytes per second."""
        self._forget()
        return self._bytes / max(0.1, min(WINDOW, clock.monotonic() - self._begun))

    def _forget(self) -> None:
        horizon = clock.monotonic() - WINDOW
        while self._events and self._events[0][0] < horizon:
            self._bytes -= self._events.popleft()[1]
