"""Measure how fast bytes get across, over the last seconds: all, and those of each upload."""

from __future__ import annotations

from collections import deque

from uploader import clock

WINDOW = 10.0  #: seconds that the rate looks back
SHORTEST = 0.1  #: seconds that a rate is over at least


class Meter:
    """Bytes per second over a sliding window."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._begun = clock.monotonic()
        self._events: deque[tuple[float, int, str]] = deque()
        self._bytes = 0
        self._begun_each: dict[str, float] = {}

    def add(self, size: int, of: str = "", seconds: float = 0.0) -> None:
        """Take note of `size` bytes that have just arrived.

        Args:
            size: bytes.
            of: what they are a part of; "": nothing whose own rate is asked for.
            seconds: how long they took.
        """
        if not size:  # a step that sends nothing has no speed, and is no begin of one
            return
        now = clock.monotonic()
        self._events.append((now, size, of))
        self._bytes += size
        if of:
            self._begun_each.setdefault(of, now - seconds)
        self._forget()

    def rate(self) -> float:
        """Return bytes per second."""
        self._forget()
        return self._bytes / max(SHORTEST, min(WINDOW, clock.monotonic() - self._begun))

    def rates(self) -> dict[str, float]:
        """Return the bytes per second of each upload of which something arrived lately."""
        self._forget()
        sums: dict[str, int] = {}
        for _, size, of in self._events:
            if of:
                sums[of] = sums.get(of, 0) + size
        self._begun_each = {of: self._begun_each[of] for of in sums}
        now = clock.monotonic()
        return {
            of: size / max(SHORTEST, min(WINDOW, now - self._begun_each[of]))
            for of, size in sums.items()
        }

    def _forget(self) -> None:
        horizon = clock.monotonic() - WINDOW
        while self._events and self._events[0][0] < horizon:
            self._bytes -= self._events.popleft()[1]
