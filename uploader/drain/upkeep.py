"""Do what a supervisor owes its spool beside the uploads: sweeps, reports, workers let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.spool.recovery import sweep
from uploader.spool.retention import reap

if TYPE_CHECKING:
    from uploader.drain.gate import Gate
    from uploader.drain.meter import Meter
    from uploader.drain.pool import WorkerPool
    from uploader.spool.ownership import SupervisorLock
    from uploader.spool.spool import Spool

LET_GO = 15.0  #: seconds without work after which the workers are let go
PERIOD = 3600.0  #: seconds between sweeps and reaps of a long-lived agent
REPORT = 1.0  #: seconds between reports of the throughput


class Upkeep:
    """What is due now and then."""

    def __init__(self, spool: Spool, lock: SupervisorLock) -> None:
        """Begin with everything due but the sweep: recovery made one."""
        self._spool, self._lock = spool, lock
        self._due_at = 0.0
        self._report_at = 0.0
        self._told: object = (None, 0)  #: the destination's refusal that was last reported

    def tick(self, pool: WorkerPool[Any], busy_at: float) -> None:
        """Do what is due; there was last something in flight at `busy_at`, in monotonic seconds."""
        now = clock.monotonic()
        if pool.running and not pool.busy and now - busy_at > LET_GO:
            pool.stop()
        if now >= self._due_at:
            ledger = self._spool.ledger
            if self._due_at:
                sweep(self._spool.layout, ledger)
            reap(ledger, clock.now(), self._spool.options.keep_done)
            self._due_at = now + PERIOD

    def report(self, meter: Meter, gate: Gate) -> None:
        """Write for `status` how fast it goes, and what the destination complains of."""
        now = clock.monotonic()
        refusal = gate.complaint, gate.refusals
        if now >= self._report_at or refusal != self._told:
            self._lock.report(meter.rate(), *refusal, meter.rates())
            self._report_at, self._told = now + REPORT, refusal
