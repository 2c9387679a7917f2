"""Get the right to run a spool's uploads, and run them; or watch whoever has it.

`drain` while an agent runs waits for that agent, instead of failing; if the agent goes, it takes
over. `run` (the agent) leaves when it has been idle and no producer lives.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.drain.terms import Ending
from uploader.errors import SpoolBusyError
from uploader.spool.ownership import SupervisorLock, find_owner, no_producer_lives
from uploader.spool.recovery import sweep

if TYPE_CHECKING:
    from uploader.drain.observer import Observer
    from uploader.drain.shutdown import StopRequest
    from uploader.drain.terms import Settings
    from uploader.spool.spool import Spool

WAIT = 0.05  #: seconds between looks at who has the lock

_pause = threading.Event()


@dataclass(frozen=True)
class Drained:
    """How a drain ended."""

    ending: Ending
    refusal: str | None = None  #: the destination's own words, if it refused


def drain_spool(spool: Spool, settings: Settings, stop: StopRequest, observer: Observer) -> Drained:
    """Upload everything, or wait until the agent has; return why it ended."""
    lock = SupervisorLock(spool.layout)
    try:
        while not lock.try_acquire(settings.workers):
            ending = _watched(spool, settings, stop)
            if ending:
                return Drained(ending)
            owner = find_owner(spool.layout)
            if owner and owner.refusal:
                return Drained(Ending.REFUSED, owner.refusal)
            observer.tick(None)
            _pause.wait(WAIT)
        if _has_ended(spool):
            return Drained(Ending.EMPTY)
        # Imported here, as in `run_agent`: to find that there is nothing to do takes less.
        from uploader.drain.supervisor import Supervisor

        supervisor = Supervisor(spool, lock, settings, stop, observer=observer)
        return Drained(supervisor.run(), supervisor.refusal)
    finally:
        lock.release()


def run_agent(
    spool: Spool,
    settings: Settings,
    stop: StopRequest,
    *,
    exit_when_idle: float | None,
    observer: Observer | None = None,
) -> Ending:
    """Upload as artifacts arrive; return why it ended.

    Raises:
        SpoolBusyError: a live supervisor has the spool already.
    """
    lock = SupervisorLock(spool.layout)
    leaving = _Leaving(spool, exit_when_idle)
    try:
        _acquire(spool, lock, settings, stop)
        if stop.requested:
            return Ending.INTERRUPTED
        from uploader.drain.supervisor import Supervisor

        return Supervisor(
            spool, lock, settings, stop, may_leave=leaving.may_leave, observer=observer
        ).run()
    finally:
        lock.release()
        leaving.release()  # after the lock: a producer let in now sees that nobody has it


class _Leaving:
    """The agent's decision to go, made while no producer can come."""

    def __init__(self, spool: Spool, after: float | None) -> None:
        self._spool, self._after = spool, after
        self._kept_out: int | None = None

    def may_leave(self, idle: float) -> bool:
        if self._after is None or idle < self._after or self._spool.ledger.live():
            return False
        self._kept_out = no_producer_lives(self._spool.layout)
        if self._kept_out is not None and self._spool.ledger.live():
            self.release()  # one put an artifact and left, just before
        return self._kept_out is not None

    def release(self) -> None:
        if self._kept_out is not None:
            os.close(self._kept_out)
            self._kept_out = None


def _acquire(spool: Spool, lock: SupervisorLock, settings: Settings, stop: StopRequest) -> None:
    """Take the lock; wait for workers of a dead supervisor, but not for a live one."""
    while not lock.try_acquire(settings.workers) and not stop.requested:
        owner = find_owner(spool.layout)
        if owner:
            msg = f"an agent or a drain (pid {owner.pid}) already runs on spool {spool.path}"
            raise SpoolBusyError(msg)
        _pause.wait(WAIT)


def _watched(spool: Spool, settings: Settings, stop: StopRequest) -> Ending | None:
    if stop.requested:
        return Ending.INTERRUPTED
    if _has_ended(spool):
        return Ending.EMPTY
    if settings.deadline.passed:
        return Ending.DEADLINE
    return None


def _has_ended(spool: Spool) -> bool:
    """Tell whether nothing is left to do; then sweep what producers left that died."""
    if spool.ledger.live() or spool.ledger.untidy(1):
        return False
    sweep(spool.layout, spool.ledger)
    return True
