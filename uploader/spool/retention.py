"""Forget finished uploads after a while, so that a spool does not grow for ever.

Done uploads are what `verify` checks against, so they stay for `keep_done` (30 days); superseded
and cancelled ones say little and stay for a day. Dead letters stay until a person decides. A
finished upload stays as long as an older dead letter of its name: the retry of that one must see
that a newer version took its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.state import State

if TYPE_CHECKING:
    from uploader.spool.ledger import Ledger

KEEP_OTHERS = 86400.0  #: seconds for which superseded and cancelled uploads are kept
BATCH = 1000  #: rows a transaction, so that producers never wait long


def reap(ledger: Ledger, now: float, keep_done: float) -> int:
    """Forget what is past its time at `now` (seconds since the epoch). Return how many rows."""
    kept_for = {
        State.DONE: keep_done,
        State.SUPERSEDED: min(KEEP_OTHERS, keep_done),
        State.CANCELLED: min(KEEP_OTHERS, keep_done),
    }
    reaped = 0
    for state, seconds in kept_for.items():
        while batch := ledger.reap(state, now - seconds, BATCH):
            reaped += batch
    return reaped
