"""Say what a process that was asked to end still does, and when it is over.

See `shutdown.py` for what each signal means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.shutdown import GRACE

if TYPE_CHECKING:
    from uploader.drain.shutdown import StopRequest
    from uploader.drain.terms import Settings


@dataclass(frozen=True)
class LastCall:
    """What may still be done after SIGTERM."""

    begins: bool  #: whether uploads may be begun


class WindingUp:
    """The end of one supervisor, from the first signal on."""

    def __init__(self, settings: Settings, stop: StopRequest) -> None:
        """Begin when `stop` is requested; the grace is a deadline like any other."""
        self._stop, self._deadline, self._grace = stop, settings.deadline, settings.grace
        self.last_call: LastCall | None = None

    def is_over(self, *, is_spent: bool, has_retries: bool) -> bool:
        """Tell whether what may still be done was done.

        Args:
            is_spent: nothing is in flight, and nothing was found to be handed out.
            has_retries: an upload waits for another attempt, which comes in time.
        """
        if self._stop.by_person or self._stop.urgent or self._deadline.passed:
            return True
        if self.last_call is None:
            grace = GRACE if self._grace is None else self._grace
            self.last_call = LastCall(begins=self._grace is not None)
            self._deadline.bring_forward(clock.monotonic() + grace)
            return False
        return is_spent and not (has_retries and self.last_call.begins)
