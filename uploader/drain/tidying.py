"""Remove from the store what uploads that ended without arriving have left there.

A worker that is killed inside a put leaves an unfinished file; a session leaves its parts. While
the upload goes on, its next attempt uses or replaces them. One that is superseded or cancelled
first, or is dead for good, has no next attempt: this is done for it instead.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.steps import Tidy
from uploader.errors import ErrorClass

if TYPE_CHECKING:
    from uploader.drain.steps import Answer
    from uploader.spool.ledger import Ledger

AT_ONCE = 16  #: uploads looked up at a time
TRIES = 5  #: after which it is left to `uploader gc`
PAUSE = 0.5  #: seconds before a failed try is made again

_FINAL = {ErrorClass.PERMANENT, ErrorClass.CONFLICT}
_log = logging.getLogger(__name__)


class Tidying:
    """The removals that are still to be made."""

    def __init__(self, ledger: Ledger) -> None:
        """Read them from `ledger`."""
        self._ledger = ledger
        self._todo: dict[int, Tidy] = {}
        self._in_flight: dict[Tidy, int] = {}
        self._failures: Counter[int] = Counter()
        self._not_before = 0.0

    @property
    def finished(self) -> bool:
        """Whether nothing is left to remove."""
        return not self._todo and not self._in_flight

    def look(self) -> None:
        """Find out what is to be removed."""
        if self.finished:
            self._todo = {
                one.seq: Tidy(one.name, one.session, one.id) for one in self._ledger.untidy(AT_ONCE)
            }

    def concerns(self, seq: int) -> bool:
        """Tell whether a removal for this upload is on its way: no attempt may run beside it."""
        return seq in self._todo or seq in self._in_flight.values()

    def next_step(self) -> Tidy | None:
        """Return the next removal to hand out."""
        if not self._todo or clock.monotonic() < self._not_before:
            return None
        seq = next(iter(self._todo))
        step = self._todo.pop(seq)
        self._in_flight[step] = seq
        return step

    def answered(self, step: Tidy, answer: Answer) -> None:
        """Take the answer to a removal; the caller commits."""
        seq = self._in_flight.pop(step)
        if answer.failure is None:
            self._ledger.tidied(seq)
            return
        self._failures[seq] += 1
        passes = answer.failure.error_class not in _FINAL
        if passes and self._failures[seq] < TRIES:
            self._todo[seq] = step
            self._not_before = clock.monotonic() + PAUSE
            return
        self._ledger.tidied(seq)
        _log.warning(
            "could not remove what the unfinished upload of %s left at the store: %s. "
            "Nothing refers to it; remove it with: uploader gc", step.name, answer.failure.error,
        )  # fmt: skip
