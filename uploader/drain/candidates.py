"""Keep a bounded window of the uploads that may start now.

Normally it is from the old end of the backlog, and looked up when the last of it has gone; or when
what is left of it, large files, may not be begun beside those under way: what is small, and a
symlink whose target has arrived, is not to wait for that, nor a retry that is due. Before a
deadline it is from the new end, together with what was begun, and looked up as things change: what
is logged now, and a symlink whose target has just arrived, goes before what is there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.schedule import SMALL, WINDOW
from uploader.policy import MAX_DELAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from uploader.drain.terms import Deadline
    from uploader.model import Upload
    from uploader.spool.ledger import Ledger

FRESH = 0.05  #: seconds for which a window from the new end counts as new
HELD = 0.25  #: seconds between looks past large files that wait for others to end


class Candidates:
    """The uploads that may start now, as far as they were looked up."""

    def __init__(self, ledger: Ledger, deadline: Deadline) -> None:
        """Begin with none."""
        self._ledger, self._deadline = ledger, deadline
        self._uploads: dict[int, Upload] = {}
        self._sent: dict[int, int] = {}  #: bytes that the store has, of those begun
        self._stale_at = 0.0  #: monotonic seconds
        self._is_held = False  #: whether what is left may not start beside what is under way
        self._any_started = False  #: since the last look
        self.stale = False  #: whether, before a deadline, a look must come before the next start

    def __iter__(self) -> Iterator[Upload]:
        """Return each of them."""
        return iter(self._uploads.values())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._uploads)

    def look(self, *, anew: bool = False) -> bool:
        """Look up what may start, if it is time to or must be `anew`; tell whether it did."""
        if self._deadline.is_set:
            if self._uploads and clock.monotonic() < self._stale_at and not (anew or self.stale):
                return False
            self._look_at_newest()
            return True
        self._is_held = self._is_held and bool(self._uploads)
        if self._uploads and not (self._is_held and clock.monotonic() >= self._stale_at):
            return False
        now = clock.now()
        found = {one.seq: one for one in self._ledger.startable(now, now + MAX_DELAY, WINDOW)}
        if self._is_held and len(found) >= WINDOW:  # all of them may be such: look behind them, too
            seqs = self._ledger.newest.startable(now, now + MAX_DELAY, WINDOW)
            behind = self._ledger.uploads([seq for seq in seqs if seq not in found])
            found |= {upload.seq: upload for upload in behind}
        self._uploads = dict(sorted(found.items()))
        self._any_started, self._stale_at = False, clock.monotonic() + HELD
        return True

    def passed_over(self) -> None:
        """Take note that none may start beside what is under way, though there is a free worker.

        From now on what comes is looked for while the workers are busy: when one is free again, it
        would be taken by the next part.
        """
        self._is_held = True
        if self._any_started:  # others like them may be there
            self._stale_at = 0.0

    def sent(self, upload: Upload) -> int:
        """Return how many bytes of one the store has."""
        return self._sent.get(upload.seq, 0)

    def started(self, uploads: Iterable[Upload]) -> None:
        """Forget those that are started now."""
        self._any_started = True
        for upload in uploads:
            self._uploads.pop(upload.seq, None)

    def released(self, upload: Upload) -> None:
        """Take note that one has ended, and that a symlink to it may start with the commit.

        Of small ones there may be hundreds a second: theirs is found at the next look.
        """
        if self._deadline.is_set and (upload.size or 0) > SMALL:
            self.stale = True

    @property
    def retry_in_time(self) -> bool:
        """Whether something is to be tried again before the deadline."""
        return self._ledger.newest.retry_falls_due(clock.now(), self._horizon)

    @property
    def _horizon(self) -> float:
        return clock.now() + min(MAX_DELAY, self._deadline.left)

    def _look_at_newest(self) -> None:
        # what is to be tried again only after the deadline is tried before it
        seqs = self._ledger.newest.startable(clock.now(), self._horizon, WINDOW)
        known = self._uploads
        news = self._ledger.uploads([seq for seq in seqs if seq not in known])
        self._uploads = {seq: known[seq] for seq in seqs if seq in known}
        self._uploads |= {upload.seq: upload for upload in news}
        begun = [upload.seq for upload in news if upload.session]
        self._sent = {seq: size for seq, size in self._sent.items() if seq in self._uploads}
        self._sent |= self._ledger.newest.sent(begun) if begun else {}
        self._stale_at, self.stale = clock.monotonic() + FRESH, False
