"""Keep at the destination, beside the artifacts, what this node still holds.

A node that is gone for good takes with it what had not left it. Its last report, which any other
machine can read, names what that was. (Nothing reads reports to decide anything: the store's
preconditions remain the only coordination between nodes.)

- An object of its own per spool, replaced by workers like any other: a slow store blocks nothing.
- Only where it is asked for (option `node_report`); at the first upload, then every half minute if
  anything changed, and at the end. In the last seconds before a deadline it is every second: at the
  end itself all workers may be busy with what does not arrive any more.
- The newest names, up to a number: what was logged last is what a restart needs most.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import secrets
import socket
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.steps import PutReport
from uploader.state import LIVE, State
from uploader.store.base import ObjectMeta
from uploader.store.body import Body

if TYPE_CHECKING:
    from uploader.drain.steps import Answer
    from uploader.spool.spool import Spool

FOLDER = ".uploader-nodes"  #: where reports are, below the destination
EVERY = 30.0  #: seconds between two reports; what is younger than that may be missing in the last
SOON = 5.0  #: seconds before a deadline from which on there is one every
EVERY_SOON = 1.0  #: seconds
NAMED = 1000  #: uploads that a report names; the rest is counted
WORDS = 300  #: characters of an error that a report has: all of it must be read, and stay small
TRIES = (
    3  #: of one report, whose failure must not keep a drain from ending, or an agent from leaving
)

_log = logging.getLogger(__name__)


class NodeReport:
    """The report of one spool on one node."""

    def __init__(self, spool: Spool) -> None:
        """Say nothing yet."""
        self._spool = spool
        self._wanted = spool.options.node_report
        self._name = f"{FOLDER}/{node_name(str(spool.path))}.json"
        self._said: object = None  #: the counts that were told last, or were given up
        self._put_at = -math.inf  #: monotonic seconds
        self._in_flight = False
        self._failures = 0

    @property
    def finished(self) -> bool:
        """Whether a last report is not, or no more, to be waited for."""
        return not self._wanted or (not self._in_flight and self._said == self._counts())

    def next_step(
        self, *, ends: bool = False, last: bool = False, left: float = math.inf
    ) -> PutReport | None:
        """Return the next report to be put, if it is time for one.

        Args:
            ends: the work ends when all is done: then a report is due at once.
            last: it ends now.
            left: seconds until it ends in any case.
        """
        if not self._wanted or self._in_flight:
            return None
        every = EVERY_SOON if left < SOON else EVERY
        due = last or clock.monotonic() >= self._put_at + every
        if not due and not (ends and not self._spool.ledger.live()):
            return None
        counts = self._counts()
        if counts == self._said:
            return None
        self._said, self._in_flight = counts, True
        self._put_at = clock.monotonic()
        data = json.dumps(self._text(), indent=1).encode()
        meta = ObjectMeta(secrets.token_hex(16), len(data), None, None, "", 0)
        return PutReport(self._name, Body.of_bytes(data), meta)

    def answered(self, answer: Answer) -> None:
        """Take note of what became of it.

        After some failures in a row it is put again only when there is something else to say: an
        idle agent would ask, and be busy with it, for ever, and never leave.
        """
        self._in_flight = False
        if answer.failure is None:
            self._failures = 0
            return
        self._failures += 1
        if self._failures < TRIES:
            self._said = None
        if self._failures == 1:
            _log.warning(
                "this node's report %s could not be put: %s. The uploads go on; it is tried again",
                self._name, answer.failure.error,
            )  # fmt: skip

    def _counts(self) -> object:
        return self._spool.ledger.tally()

    def _text(self) -> dict[str, object]:
        select, marks = self._spool.ledger.select, ",".join("?" * len(LIVE))
        live = [one.value for one in LIVE]
        newest = f"WHERE state IN ({marks}) ORDER BY seq DESC LIMIT {NAMED}"
        dead = f"WHERE state = 'dead' ORDER BY seq DESC LIMIT {NAMED}"
        tally = self._spool.ledger.tally()
        return {
            "node": socket.gethostname(),
            "spool": str(self._spool.path),
            "destination": self._spool.destination,
            "at": clock.now(),
            "pid": os.getpid(),
            "counts": {state.value: tally[state][0] for state in State},
            "bytes": {"pending": sum(tally[state][1] for state in LIVE)},
            "pending": [
                {"id": one.id, "name": one.name, "target": one.target, "size": one.size}
                for one in select(newest, live)
            ],
            "dead": [
                {"id": one.id, "name": one.name, "error": (one.error or "")[:WORDS]}
                for one in select(dead)
            ],
        }


def node_name(spool: str) -> str:
    """Return what tells this spool from all others: the host's name, and a mark for the path."""
    host = "".join(one if one.isalnum() or one in "-._" else "-" for one in socket.gethostname())
    return f"{host.strip('.') or 'node'}-{hashlib.sha256(os.fsencode(spool)).hexdigest()[:8]}"
