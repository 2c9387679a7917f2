"""Ask the destination whether it lets us write: before the first upload, and when it stops to.

- A drain that is refused at its start says so at once (exit code 5), instead of turning a whole
  backlog into dead letters. An agent waits, and asks again.
- Credentials that expire shut the gate again: one question now and then takes the place of a
  backlog of attempts that must all fail. Drain or agent, it goes on when they were renewed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.steps import Prepare
from uploader.errors import ErrorClass
from uploader.policy import RetryPolicy

if TYPE_CHECKING:
    from uploader.drain.steps import Answer
    from uploader.spool.spool import Spool

PREPARED = "prepared"  #: key in the spool: the root was made once, it is never made again

_REFUSALS = {ErrorClass.AUTH, ErrorClass.PERMANENT}
_log = logging.getLogger(__name__)


class Gate:
    """Whether the destination was found ready."""

    def __init__(self, spool: Spool, *, patient: bool) -> None:
        """Begin shut. A patient gate is never `refused`, it asks again."""
        self._spool = spool
        self._patient = patient
        self._first = spool.remembered.get(PREPARED) is None
        self._asked = False
        self._failures = 0
        self._ask_at = 0.0
        self.open = False
        self.refused: str | None = None
        self.complaint: str | None = None  #: the last refusal, until the gate opens
        self.refusals = 0  #: how many there were

    def next_step(self) -> Prepare | None:
        """Return the question, when it is time to ask it."""
        if self.open or self._asked or clock.monotonic() < self._ask_at:
            return None
        self._asked = True
        return Prepare(self._first)

    def shut(self, why: str) -> None:
        """Hand out nothing until new credentials were found to be good."""
        if self.open:
            self.open, self._patient, self._failures = False, True, 1
            self.complaint, self.refusals = why, self.refusals + 1
            self._wait(why, "does not let us write")

    def answered(self, answer: Answer) -> None:
        """Take the destination's answer."""
        self._asked = False
        failure = answer.failure
        if failure is None:
            self.open, self.complaint = True, None
            if answer.value is not None:
                self._spool.remembered.capabilities = answer.value
            if self._first:
                self._spool.remembered.put(PREPARED, "1")
            return
        self._failures += 1
        refuses = failure.error_class in _REFUSALS
        self.complaint = failure.error if refuses else None
        self.refusals += refuses
        if refuses and not self._patient:
            self.refused = failure.error
            return
        self._wait(failure.error, "does not let us write" if refuses else "cannot be asked")

    def _wait(self, why: str, how: str) -> None:
        delay = RetryPolicy().delay(ErrorClass.AUTH, self._failures)
        self._ask_at = clock.monotonic() + delay
        _log.warning(
            "the destination %s %s: %s. Nothing is lost; asking again in %.1f s",
            self._spool.destination, how, why, delay,
        )  # fmt: skip
