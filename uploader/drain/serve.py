"""Get the right to run a spool's uploads, and run them; or watch whoever has it.

`drain` while an agent runs waits for that agent, instead of failing; if the agent goes, it takes
over. `run` (the agent) leaves when it has been idle and no producer lives.
"""

from __future__ import annotations

import logging
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
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drained:
    """How a drain ended."""

    ending: Ending
    refusal: str | None = None  #: the destination's own words, if it refused


def drain_spool(spool: Spool, settings: Settings, stop: StopRequest, observer: Observer) -> Drained:
    """Upload everything, or wait until the agent has; return why it ended."""
    lock = SupervisorLock(spool.layout)
    theirs = _Refusals(spool)
    try:
        while not lock.try_acquire(settings.workers):
            ending = _watched(spool, settings, stop)
            refusal = theirs.look(is_last=ending is Ending.DEADLINE)
            if refusal and ending in (None, Ending.DEADLINE):
                return Drained(Ending.REFUSED, refusal)
            if ending:
                return Drained(ending)
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


class _Refusals:
    """What the destination answers the agent while a drain waits for it.

    What it answered before does not count: who starts a drain may just have renewed the
    credentials, and the agent asks only now and then.
    """

    def __init__(self, spool: Spool) -> None:
        self._layout = spool.layout
        self._first = find_owner(self._layout)
        if self._first and self._first.refusal:
            _log.warning(
                "the agent (pid %d) was refused when it last asked the destination: %s. "
                "Waiting until it asks again, within half a minute",
                self._first.pid, self._first.refusal,
            )  # fmt: skip

    def look(self, *, is_last: bool) -> str | None:
        """Return the words of a refusal since then; at last also of one before."""
        owner, first = find_owner(self._layout), self._first
        if not owner or not owner.refusal:
            return None
        is_first = first and (first.pid, first.started) == (owner.pid, owner.started)
        before = first.refusals if first and is_first else 0
        return owner.refusal if is_last or owner.refusals > before else None


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
