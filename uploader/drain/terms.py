"""Say how a supervisor is to run, and why it left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from uploader.drain.shutdown import GRACE


class Ending(str, Enum):
    """Why the supervisor left."""

    EMPTY = "empty"  #: every upload has ended
    IDLE = "idle"  #: nothing to do, and no producer lives
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"  #: by the destination: credentials, permission, no such bucket


@dataclass(frozen=True)
class Settings:
    """How a supervisor is to run."""

    workers: int = 4
    until_empty: bool = True  #: leave when every upload has ended (drain); else stay (agent)
    deadline: float | None = None  #: monotonic seconds
    grace: float = GRACE  #: seconds for steps in flight after a signal
