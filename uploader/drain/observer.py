"""Tell those who watch what a supervisor does: progress displays, metrics.

Calls come from the supervisor's one loop, so they must be quick and must not raise. What is told
has been committed: a crash in between costs an observation, and never makes one untrue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.drain.steps import Answer, Step
    from uploader.errors import ErrorClass
    from uploader.model import Upload
    from uploader.state import State


@dataclass(frozen=True)
class Load:
    """How busy a supervisor is."""

    steps: int  #: in flight
    limit: int  #: of steps in flight: fewer than workers while the store asks for less
    workers: int


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt at an upload ended."""

    upload: Upload  #: as it was when the attempt began
    state: State  #: that it came to: done, ready (it is tried again), dead, or cancelled
    error_class: ErrorClass | None  #: of its failure
    at: float  #: seconds since the epoch


class Observer:
    """Looks away; those who look override what they care for."""

    def tick(self, load: Load | None = None) -> None:
        """Look, in a turn of the loop; `load` is None while another process does the work."""

    def step_ended(self, step: Step, answer: Answer) -> None:
        """Take note of a step that was tried."""

    def attempt_ended(self, end: AttemptEnd) -> None:
        """Take note of an attempt's end."""


class Observers(Observer):
    """Several, as one."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        """Tell each of them."""
        self._observers = tuple(observers)

    def tick(self, load: Load | None = None) -> None:
        """Tell each."""
        for one in self._observers:
            one.tick(load)

    def step_ended(self, step: Step, answer: Answer) -> None:
        """Tell each."""
        for one in self._observers:
            one.step_ended(step, answer)

    def attempt_ended(self, end: AttemptEnd) -> None:
        """Tell each."""
        for one in self._observers:
            one.attempt_ended(end)
