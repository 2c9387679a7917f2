"""Look at the backlog from its new end: what is there to be sent before a deadline.

By indexes and bounds, whatever the backlog; `.github/decisions/2026-11-23-preemption.md` has what
it costs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uploader.spool.statements import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.spool.journal import Journal


class Newest:
    """The rows of a ledger, newest first."""

    def __init__(self, journal: Journal) -> None:
        """Use `journal`'s database."""
        self._journal = journal

    def startable(self, now: float, horizon: float, limit: int) -> list[int]:
        """Return the newest that may start now, and the newest of which parts were sent.

        Up to `limit` of each. A retry that is due only after `horizon` is due now.
        """
        when = {"now": now, "horizon": horizon, "limit": limit}
        found = set(self._seqs("newest", look=2 * limit, **when))
        if len(found) < limit:  # the others are behind many that wait
            found.update(self._seqs("fresh_newest", limit=limit))
            found.update(self._seqs("due", now=now, limit=limit))
        return list({*self._seqs("begun", **when), *sorted(found)[-limit:]})

    def sent(self, seqs: Iterable[int]) -> dict[int, int]:
        """Return how many bytes the store has of those that it has parts of."""
        return dict(self._journal.rows(sql("sent"), {"seqs": json.dumps(list(seqs))}))

    def retry_falls_due(self, after: float, until: float) -> bool:
        """Tell whether an upload is to be tried again between the two."""
        return bool(self._seqs("due_between", after=after, until=until))

    def _seqs(self, statement: str, **parameters: Any) -> list[int]:
        return [row[0] for row in self._journal.rows(sql(statement), parameters)]
