"""Sum up a spool for `uploader status`, without a scan of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader import clock
from uploader.model import InFlight, Status
from uploader.spool.ownership import find_owner
from uploader.state import LIVE, State

if TYPE_CHECKING:
    from uploader.spool.layout import Layout
    from uploader.spool.ledger import Ledger


def status_of(layout: Layout, destination: str, ledger: Ledger, *, dead: int = -1) -> Status:
    """Return the counts, the work in flight and the dead letters of a spool; at most `dead`."""
    tally = ledger.tally()
    in_flight = flights(ledger)
    owner = find_owner(layout)
    oldest = ledger.oldest_ready()
    (sent,) = ledger.figures("parts_sent")[0]  # also of what a stop put back
    return Status(
        spool=str(layout.root),
        destination=destination,
        counts={state: tally[state][0] for state in State},
        bytes_pending=sum(tally[state][1] for state in LIVE) - sent,
        bytes_sent=sent,
        bytes_done=tally[State.DONE][1],
        oldest_ready_age=None if oldest is None else max(0.0, clock.now() - oldest),
        throughput=owner.throughput if owner else 0.0,
        agent_pid=owner.pid if owner else None,
        agent_workers=owner.workers if owner else None,
        in_flight=in_flight,
        dead=tuple(ledger.select("WHERE state = 'dead' ORDER BY seq LIMIT ?", (dead,))),
        refusal=owner.refusal if owner else None,
        bytes_dead=tally[State.DEAD][1],
        speeds=owner.speeds if owner else {},
    )


def flights(ledger: Ledger) -> tuple[InFlight, ...]:
    """Return how far each upload is that is under way: not more than a few hundred ever are."""
    progress = ledger.progress()
    return tuple(
        InFlight(
            id=upload.id,
            name=upload.name,
            size=upload.size or 0,
            sent=progress.get(upload.seq, (0, 0))[1],
            parts_done=progress.get(upload.seq, (0, 0))[0],
            parts_total=upload.parts_total,
            attempt=upload.attempts + 1,
        )
        for upload in ledger.select("WHERE state = 'active' ORDER BY seq")
    )
