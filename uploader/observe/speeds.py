"""Tell how fast bytes get across from looks at how many have: of all together, and of each upload.

A part counts when all of it has arrived, so that a look finds nothing new, or a lot: what counts is
the time from the first look that is remembered to the last.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.model import InFlight

WHOLE = 3  #: uploads listed that go in one request: of them there is nothing more to tell
WINDOW = 30.0  #: seconds that are looked back over; a part of 16 MiB at half a MiB per second


def foremost(flights: Iterable[InFlight], most: int) -> list[InFlight]:
    """Return what to list of the uploads under way: those in parts, then the largest others."""
    ordered = sorted(flights, key=lambda one: (one.parts_total == 1, -one.sent, -one.size))
    in_parts = sum(one.parts_total > 1 for one in ordered)
    return ordered[: max(0, min(most, in_parts + WHOLE))]


class Speed:
    """Bytes per second of what grows."""

    def __init__(self) -> None:
        """Begin without a look."""
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float, sent: int) -> float:
        """Take a look: so many bytes had been sent. Return bytes per second; 0: not known yet."""
        if self._looks and sent < self._looks[-1][1]:  # it begins anew
            self._looks.clear()
        self._looks.append((now, sent))
        while len(self._looks) > 1 and now - self._looks[1][0] >= WINDOW:
            self._looks.popleft()
        begun, before = self._looks[0]
        return (sent - before) / (now - begun) if now > begun else 0.0


class Speeds:
    """Those of uploads under way, by id."""

    def __init__(self) -> None:
        """Begin without a look."""
        self._each: dict[str, Speed] = {}

    def look(self, now: float, flights: Iterable[InFlight]) -> dict[str, float]:
        """Take a look at all of them; those that are not there any more are forgotten."""
        before, self._each = self._each, {}
        found = {}
        for one in flights:
            speed = self._each[one.id] = before.get(one.id) or Speed()
            if rate := speed.look(now, one.sent):
                found[one.id] = rate
        return found
