"""Measure how fast workers send, whatever lies between their steps: what can arrive in time."""

from __future__ import annotations

from collections import deque

from uploader.drain.schedule import Speed

STEPS = 16  #: last steps that the speed is taken from: four for each of four workers
WEIGHTY = 1 << 20  #: bytes; in a smaller step the request takes longer than its bytes


class Speedometer:
    """Bytes per second of the last large steps, of one worker and of all together."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._steps: deque[tuple[int, float, int]] = deque(maxlen=STEPS)

    def add(self, size: int, seconds: float, beside: int) -> None:
        """Take note of `size` bytes that have just arrived.

        They took a worker `seconds`, while `beside` workers, itself one of them, were at work.
        """
        if size >= WEIGHTY and seconds > 0:
            self._steps.append((size, seconds, beside))

    def speed(self, limit: float | None) -> Speed | None:
        """Return how fast large steps go; None if there was none.

        `limit` is what is allowed, in bytes per second; until there was a step it is believed.
        """
        seconds = sum(took for _, took, _ in self._steps)
        if not seconds:
            return None if limit is None else Speed(limit, limit)
        one = sum(size for size, _, _ in self._steps) / seconds
        together = sum(size * beside for size, _, beside in self._steps) / seconds
        return Speed(one, together if limit is None else min(limit, together))
