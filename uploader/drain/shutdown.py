"""Turn signals into a flag; the supervisor's loop acts on it.

First SIGTERM or SIGINT: take no new steps, let those in flight finish within the grace, leave.
Second: leave at once. Nothing is lost either way: what was not recorded is done again.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

GRACE = 10.0  #: seconds that steps in flight may take after the first signal


class StopRequest:
    """Whether, and how urgently, this process was asked to end."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.signals = 0

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
        del number, frame
        self.signals += 1
