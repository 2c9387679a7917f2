"""Know what gets across: how fast, and how much at a time the store allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.drain.meter import Meter
from uploader.drain.schedule import Outlook
from uploader.drain.speedometer import Speedometer
from uploader.drain.steps import TakeChecksum
from uploader.drain.throttle import Throttle

if TYPE_CHECKING:
    from uploader.drain.active import ActiveUpload
    from uploader.drain.steps import Answer, Step
    from uploader.drain.terms import Deadline


class Traffic:
    """The traffic of one supervisor with its store."""

    def __init__(self, workers: int, max_bandwidth: int | None) -> None:
        """Begin with nothing sent; `max_bandwidth`: bytes a second, None if there is no limit."""
        self._max_bandwidth = max_bandwidth
        self.throttle = Throttle(workers)
        self.meter = Meter()
        self._speedometer = Speedometer()

    def passed(self, active: ActiveUpload, step: Step, answer: Answer, beside: int) -> None:
        """Take note of a step that went well, while `beside` workers were at work."""
        self.throttle.succeeded()
        if not step.size or isinstance(step, TakeChecksum):  # nothing got across
            return
        self._speedometer.add(step.size, answer.seconds, beside)
        self.meter.add(step.size, active.upload.id if active.session else "", answer.seconds)

    def outlook(self, deadline: Deadline) -> Outlook:
        """Return what can still be sent before a deadline."""
        return Outlook(deadline.left, self._speedometer.speed(self._max_bandwidth))
