"""Turn signals into a flag; the supervisor's loop acts on it.

- SIGTERM: a launcher that will send SIGKILL later. Within the grace, what is under way and can
  still arrive is brought to its end, steps in flight are let finish, and it leaves as soon as there
  is no more to be done. With a grace that was asked for, uploads are begun too, as before any other
  deadline.
- SIGINT: a person waits. No new steps; those in flight may finish within the grace.
- A second one of either: it leaves at once.

Nothing is lost in any case: what was not recorded is done again.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

GRACE = 10.0  #: seconds that what is under way may take after the first signal


class StopRequest:
    """Whether, and how urgently, this process was asked to end."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.signals = 0
        self.by_person = False  #: whether one of them was SIGINT

    def install(self) -> None:
        """Take SIGTERM and SIGINT of this process (main thread only)."""
        signal.signal(signal.SIGTERM, self._count)
        signal.signal(signal.SIGINT, self._count)

    @property
    def requested(self) -> bool:
        """Asked once, or more."""
        return self.signals > 0

    @property
    def urgent(self) -> bool:
        """Asked twice."""
        return self.signals > 1

    def _count(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signals += 1
        self.by_person = self.by_person or number == signal.SIGINT
