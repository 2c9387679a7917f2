"""Say how a supervisor is to run, and why it left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from uploader import clock


class Ending(str, Enum):
    """Why the supervisor left."""

    EMPTY = "empty"  #: every upload has ended
    IDLE = "idle"  #: nothing to do, and no producer lives
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"  #: by the destination: credentials, permission, no such bucket


class Deadline:
    """When to be done, in monotonic seconds: it may be set, and come nearer, while work goes on."""

    def __init__(self, at: float | None = None) -> None:
        """Begin with `at`; None: there is no hurry yet."""
        self._at = math.inf if at is None else at

    def bring_forward(self, at: float) -> None:
        """Be done by `at` if that is earlier."""
        self._at = min(self._at, at)

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return self._at < math.inf

    @property
    def left(self) -> float:
        """Return the seconds until then, 0 if it has passed; without a deadline infinitely many."""
        return max(0.0, self._at - clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return not self.left


@dataclass(frozen=True)
class Settings:
    """How a supervisor is to run."""

    workers: int = 4
    until_empty: bool = True  #: leave when every upload has ended (drain); else stay (agent)
    deadline: Deadline = field(default_factory=Deadline)
    #: seconds after SIGTERM for all that can still arrive; None: `GRACE`, for what is under way
    grace: float | None = None
