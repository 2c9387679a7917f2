"""Write down what became of steps and uploads, and only then act on it.

State change committed first, blob unlinked after it: the other way round, a crash between the two
would leave a row whose bytes are gone.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uploader import clock
from uploader.crashpoint import reached
from uploader.drain import steps
from uploader.drain.observer import AttemptEnd, Observer
from uploader.drain.terms import Deadline
from uploader.errors import ErrorClass
from uploader.model import SentPart, about
from uploader.spool.staging import discard
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.drain.active import ActiveUpload
    from uploader.drain.steps import Answer, Failure, Step
    from uploader.model import Receipt, Upload
    from uploader.policy import RetryPolicy
    from uploader.spool.spool import Spool

SHARE = 0.25  #: of the time before a deadline that a retry waits at most

_log = logging.getLogger(__name__)


class Recorder:
    """The supervisor's hand in the ledger."""

    def __init__(
        self,
        spool: Spool,
        policy: RetryPolicy,
        observer: Observer | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        """Write to `spool`'s ledger, and tell `observer` of what is written there.

        What is tried again is tried several times before `deadline`.
        """
        self._spool, self._ledger, self._policy = spool, spool.ledger, policy
        self._deadline = deadline or Deadline()
        self._observer = observer or Observer()
        self._ends: list[AttemptEnd] = []
        self._arrived: list[tuple[Upload, Receipt]] = []
        self._ended: list[str] = []  #: ids of what ends with the commit, but for what arrived
        self._unneeded: deque[str] = deque()  #: ids of what has ended, whose blobs are still there
        self._said: list[str] = []

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit all that is recorded inside at once; blobs that it made unneeded may go then."""
        self._arrived.clear()
        self._ended.clear()
        self._said.clear()
        self._ends.clear()
        with self._ledger.together():
            yield
            if self._arrived:
                self._ended += self._ledger.finish_all(self._arrived)
        self._unneeded += self._ended
        for point in self._said:
            reached(point)
        for end in self._ends:
            self._observer.attempt_ended(end)

    def unneeded(self, most: int) -> tuple[str, ...]:
        """Return the paths of up to `most` blobs that the caller now sees to the removal of."""
        count = min(most, len(self._unneeded))
        blob_path = self._spool.layout.blob_path
        return tuple(blob_path(self._unneeded.popleft()) for _ in range(count))

    def remove_unneeded(self) -> None:
        """Remove all blobs that are not needed any more, and that nobody else sees to."""
        while self._unneeded:
            discard(self._spool.layout, self._unneeded.popleft())
            reached("supervisor.blob-unlinked")

    def answer(self, active: ActiveUpload, step: Step, answer: Answer) -> None:
        """Record what an answered step changed in an upload that goes on."""
        seq = active.upload.seq
        if answer.failure:
            if answer.failure.session_lost:
                self._ledger.record_session(seq, None, None)
        elif isinstance(step, steps.TakeChecksum):
            self._ledger.record_checksum(seq, active.item)
        elif isinstance(step, steps.Begin):
            self._ledger.record_session(seq, active.session, active.part_size)
            self._said.append("supervisor.session-recorded")
        elif isinstance(step, steps.Reconcile):
            self._ledger.replace_parts(seq, active.sent)
        elif isinstance(answer.value, SentPart):
            self._ledger.record_part(seq, answer.value)
            self._said.append("supervisor.part-recorded")

    def settle(self, active: ActiveUpload) -> None:
        """Record how an attempt ended."""
        upload = active.upload
        if active.receipt:
            self._arrived.append((upload, active.receipt))
            self._end(upload, State.DONE)
            self._said.append("supervisor.finish-committed")
            _log.info(
                "done: %s (%s bytes)", upload.name, upload.size or 0,
                extra=about(upload, bytes=upload.size, seconds=active.seconds),
            )  # fmt: skip
        elif active.cancelling:
            self._ledger.cancel_active(upload)
            self._ended.append(upload.id)
            self._end(upload, State.CANCELLED)
            _log.info("cancelled: %s", upload.name, extra=about(upload))
        elif active.failure:
            self._failed(active, active.failure)
            self._said.append("supervisor.failure-recorded")

    def _failed(self, active: ActiveUpload, failure: Failure) -> None:
        upload, attempts = active.upload, active.upload.attempts + 1
        facts = {"error_class": failure.error_class.value, "bytes": upload.size}
        extra = about(upload, **facts, seconds=active.seconds)
        if self._policy.gives_up(failure.error_class, attempts):
            self._ledger.fail(upload, failure.error_class, failure.error)
            self._end(upload, State.DEAD, failure)
            _log.error(
                "dead letter: %s: %s. Its bytes are kept; %s",
                upload.name, failure.error, self._what_mends(upload.id, failure), extra=extra,
            )  # fmt: skip
            return
        # parts that arrived break the row of failures: a worker that dies now and then, within a
        # large file, must not have it wait longer each time
        in_a_row = 1 if active.progressed else attempts
        delay = self._policy.delay(failure.error_class, in_a_row)
        delay = min(delay, self._deadline.left * SHARE)
        self._ledger.put_back(
            upload.seq,
            not_before=clock.now() + delay,
            counted=failure.error_class is not ErrorClass.AUTH,
            error_class=failure.error_class,
            error=failure.error,
        )
        self._end(upload, State.READY, failure)
        _log.warning(
            "%s: %s (%s); attempt %d in %.1f s",
            upload.name, failure.error, failure.error_class.value, attempts + 1, delay, extra=extra,
        )  # fmt: skip

    def _what_mends(self, upload_id: str, failure: Failure) -> str:
        if failure.error_class is ErrorClass.DAMAGED:
            first, command = "no retry mends it; to give it up", "cancel"
        else:
            first, command = "when the cause is gone", "retry"
        return f"{first}: uploader {command} --spool {self._spool.path} {upload_id}"

    @staticmethod
    def unforeseen(active: ActiveUpload | None, step: Step, failure: Failure) -> None:
        """Log an error that no store should raise, with the worker's traceback."""
        facts = {"error_class": failure.error_class.value}
        _log.error(
            "step failed in an unforeseen way: %s of %s\n%s",
            type(step).__name__, getattr(step, "name", "the destination"), failure.trace,
            extra=about(active.upload, **facts) if active else None,
        )  # fmt: skip

    def _end(self, upload: Upload, state: State, failure: Failure | None = None) -> None:
        error_class = failure.error_class if failure else None
        self._ends.append(AttemptEnd(upload, state, error_class, clock.now()))
