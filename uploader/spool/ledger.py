"""Read and move the rows of `upload`: one guarded statement for each edge of the state table.

Statements are in `queries.sql`; what must hold whoever writes is in `schema.sql`. A move whose
guard does not hold changes nothing and returns False (somebody else was first, which is no error).

A row that somebody edited, or that was damaged, hides no other and stops none: it is shown as far
as it can be read, and a dead letter as soon as it would start (`start_all`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from uploader import clock
from uploader.errors import ErrorClass, SpoolDamagedError
from uploader.model import SentPart, about
from uploader.spool.newest import Newest
from uploader.spool.rows import fault, row_damaged, storable, upload_in
from uploader.spool.statements import sql as _sql
from uploader.state import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from uploader.model import Receipt, Upload
    from uploader.spool.journal import Journal

MAX_VARIABLES = 900  #: parameters of one statement; SQLite allowed 999 before 3.32

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Ledger:
    """The uploads of one spool, over one process's journal handle."""

    def __init__(self, journal: Journal) -> None:
        """Use `journal`'s database."""
        self._journal = journal
        self.newest = Newest(journal)
        self._sound: bool | None = None  #: whether the database was found to be; None: not looked

    # -- reading ------------------------------------------------------------------------------

    def upload(self, seq: int) -> Upload:
        """Return one upload by its sequence number; `KeyError` if it is not there."""
        found = self.select("WHERE seq = ?", (seq,))
        if not found:
            raise KeyError(seq)
        return found[0]

    def select(self, where: str, parameters: Iterable[Any] = ()) -> list[Upload]:
        """Return the uploads that a `WHERE … ORDER BY …` of ours picks."""
        rows = self._journal.rows(f"{_sql('columns')} {where}", tuple(parameters))
        return [upload_in(row) for row in rows]

    def startable(self, now: float, horizon: float, limit: int) -> list[Upload]:
        """Return what may start now, oldest first: retries that are due, and fresh uploads.

        Half of the places go to retries if so many are due, so that neither starves the other.
        A retry that is due only after `horizon`, later than any policy sets one, is due now: the
        clock was set back, and nothing should wait for hours because of it.
        """
        due = self._seqs("due", now=now, limit=limit)
        if len(due) < limit:
            due += self._seqs("due_after_clock_jump", horizon=horizon, limit=limit - len(due))
        fresh = self._seqs("fresh", limit=limit)
        kept = due[: max(limit - len(fresh), limit // 2)]
        return self.uploads(kept + fresh[: limit - len(kept)])

    def uploads(self, seqs: Sequence[int]) -> list[Upload]:
        """Return the uploads of these sequence numbers, in enqueue order."""
        marks = ",".join("?" * len(seqs))
        return self.select(f"WHERE seq IN ({marks}) ORDER BY seq", seqs) if seqs else []

    def untidy(self, limit: int) -> list[Upload]:
        """Return uploads that ended without arriving, and may have left a piece at the store.

        Not dead letters of a transient failure: their retry goes on from the parts that are there.
        """
        return [self.upload(seq) for seq in self._seqs("untidy", limit=limit)]

    def tidied(self, seq: int) -> None:
        """Note that nothing of an upload is left at the store."""
        with self._journal.transaction():
            if self._move("tidied", seq=seq):
                self._move("forget_parts", seq=seq)

    def active(self) -> list[int]:
        """Return the sequence numbers of the active uploads."""
        return self._seqs("active")

    def cancel_requests(self) -> list[int]:
        """Return the active uploads that a person wants cancelled."""
        return self._seqs("cancel_requests")

    def parts(self, seq: int) -> list[SentPart]:
        """Return the parts that the store is known to have."""
        return [SentPart(*row) for row in self._rows("parts", seq=seq)]

    def progress(self) -> dict[int, tuple[int, int]]:
        """Return parts and bytes sent of each active upload."""
        return {seq: (parts, sent) for seq, parts, sent in self._rows("progress")}

    def tally(self) -> dict[State, tuple[int, int]]:
        """Return how many uploads, and how many bytes, are or ended in each state."""
        rows = self._rows("tally")
        if {row[0] for row in rows} != {state.value for state in State}:
            raise SpoolDamagedError(
                f"the spool's counts cannot be read: {rows!r:.200}. Nothing was changed; keep a "
                "copy of its directory before you try to repair the database (table tally)"
            )
        return {State(state): (uploads, size) for state, uploads, size in rows}

    def live(self) -> int:
        """Return how many uploads have yet to end."""
        tally = self.tally()
        return sum(tally[state][0] for state in LIVE)

    def oldest_ready(self) -> float | None:
        """Return when the oldest ready upload was enqueued."""
        rows = self._rows("oldest_ready")
        return float(rows[0][0]) if rows else None

    def figures(self, statement: str, /, **parameters: Any) -> list[Any]:
        """Return the rows of a statement in `queries.sql` that only reads."""
        return self._rows(statement, **parameters)

    def holds_bytes(self, upload_id: str) -> bool:
        """Tell whether the blob of an upload has to stay."""
        return bool(self._rows("holds_bytes", id=upload_id))

    def may_have_lost(self, upload_id: str) -> bool:
        """Tell whether a row of this id may have been lost; one that has ended was not.

        It reads all of the database if there is no row, and looks for damage in it once.

        Raises:
            SpoolDamagedError: tables or indexes are damaged.
        """
        if self._rows("knows", id=upload_id):
            return False
        if self._sound is None:
            self._sound = self._journal.is_sound()
        return not self._sound or bool(self._rows("journal_names", id=upload_id))

    def holding(self, upload_ids: list[str]) -> set[str]:
        """Return those of the ids whose blobs have to stay."""
        held: set[str] = set()
        for start in range(0, len(upload_ids), MAX_VARIABLES):
            some = upload_ids[start : start + MAX_VARIABLES]
            marks = ",".join("?" * len(some))
            states = "('ready', 'active', 'dead')"
            sql = f"SELECT id FROM upload WHERE id IN ({marks}) AND +state IN {states}"  # noqa: S608  marks are question marks
            held.update(row[0] for row in self._journal.rows(sql, some))
        return held

    def name_is_pending(self, name: str) -> bool:
        """Tell whether an upload of the name has yet to end."""
        return bool(self._rows("live_name", name=name))

    def ready_versions(self, name: str) -> list[str]:
        """Return the ids of the ready files of a name: those that a newer version may supersede."""
        return [row[0] for row in self._rows("ready_versions", name=name)]

    def replaceable_bytes(self, name: str) -> int:
        """Return how many bytes of a name a newer version would make unneeded (at most)."""
        return int(self._rows("replaceable_bytes", name=name)[0][0])

    def versions(self, name: str) -> Iterator[Upload]:
        """Yield the uploads of a name that are not superseded or cancelled, newest first."""
        return (self.upload(seq) for seq in self._seqs("versions", name=name))

    def current_done(self, glob: str = "*") -> list[int]:
        """Return the newest done upload of each name that matches."""
        return [row[0] for row in self._rows("current_done", glob=glob)]

    def together(self) -> AbstractContextManager[None]:
        """Commit all moves made inside at once."""
        return self._journal.transaction()

    # -- the supervisor's moves -----------------------------------------------------------------

    def start_all(self, uploads: Iterable[Upload]) -> list[tuple[Upload, dict[str, Any]]]:
        """Ready -> active, in one transaction. Return each with the journal's item.

        One that may not start any more (superseded, cancelled, waiting again) is left out, and so
        is one that is not as it was logged: it becomes a dead letter.
        """
        uploads = list(uploads)
        seqs = json.dumps([upload.seq for upload in uploads])
        with self._journal.transaction():
            try:
                moved = self._change("start", seqs=seqs)
            except sqlite3.IntegrityError:  # a row that was edited into what no row may be
                moved = sum(self._started(upload) for upload in uploads)
            started = self.select(
                "WHERE seq IN (SELECT value FROM json_each(?)) AND +state = 'active' ORDER BY seq",
                (seqs,),
            )
            self._require(moved == len(started), started, "start")
            items = self._journal.take(upload.seq for upload in started)
            return [
                (upload, item)
                for upload, item in zip(started, items, strict=True)
                if not self._buried(upload, item)
            ]

    def finish(self, upload: Upload, receipt: Receipt) -> list[str]:
        """Active -> done. Return the ids whose blobs may go now."""
        return self.finish_all([(upload, receipt)])

    def finish_all(self, arrived: list[tuple[Upload, Receipt]]) -> list[str]:
        """Active -> done, in one transaction. Return the ids whose blobs may go now.

        Older dead versions that might replace end as superseded: they must not land on top.
        """
        now = clock.now()
        receipts = {upload.seq: receipt.as_json() for upload, receipt in arrived}
        seqs = json.dumps(list(receipts))
        with self._journal.transaction():
            moved = self._change("finish", seqs=seqs, now=now, receipts=json.dumps(receipts))
            self._require(moved == len(arrived), [upload for upload, _ in arrived], "finish")
            self._journal.ack(receipts)
            older = self._rows("older_dead", seqs=seqs)
            for seq, _ in older:
                self._move("supersede_dead", seq=seq, now=now)
        return [*(upload.id for upload, _ in arrived), *(upload_id for _, upload_id in older)]

    def put_back(
        self,
        seq: int,
        *,
        not_before: float = 0,
        counted: bool = False,
        error_class: ErrorClass | None = None,
        error: str | None = None,
    ) -> None:
        """Active -> ready, to be attempted again from `not_before`."""
        with self._journal.transaction():
            if self._move(
                "put_back",
                seq=seq,
                not_before=not_before,
                counted=int(counted),
                error_class=error_class.value if error_class else None,
                error=storable(error),
            ):
                self._journal.put_back(seq)

    def fail(self, upload: Upload, error_class: ErrorClass, error: str) -> None:
        """Active -> dead."""
        with self._journal.transaction():
            self._require(
                self._move(
                    "fail",
                    seq=upload.seq,
                    now=clock.now(),
                    error_class=error_class.value,
                    error=storable(error),
                ),
                [upload],
                "fail",
            )
            self._journal.bury(upload.seq)

    def cancel_active(self, upload: Upload) -> None:
        """Active -> cancelled, on a person's request."""
        with self._journal.transaction():
            if self._move("cancel_active", seq=upload.seq, now=clock.now()):
                self._journal.ack([upload.seq])

    def recover(self) -> int:
        """Active -> ready for all that a predecessor left active. Return how many.

        What waits for an upload that is not live waits for what it should instead: a row that was
        removed by hand will never end.
        """
        left = self.active()
        with self._journal.transaction():
            for seq in left:
                self._even_if_edited(partial(self.put_back, seq))
            self._change("stuck")
        return len(left)

    def record_session(self, seq: int, session: str | None, part_size: int | None) -> None:
        """Note the store's name for an upload in parts; a new session has no parts yet."""
        with self._journal.transaction():
            self._move("record_session", seq=seq, session=session, part_size=part_size)
            self._move("forget_parts", seq=seq)

    def record_part(self, seq: int, part: SentPart) -> None:
        """Note that the store has a part."""
        self._move("record_part", seq=seq, number=part.number, size=part.size, mark=part.mark)

    def replace_parts(self, seq: int, parts: Iterable[SentPart]) -> None:
        """Note what the store says it has, in place of what we believed."""
        with self._journal.transaction():
            self._move("forget_parts", seq=seq)
            for part in parts:
                self.record_part(seq, part)

    def record_checksum(self, seq: int, item: dict[str, Any]) -> None:
        """Note the checksums of a clone, once it was read."""
        with self._journal.transaction():
            self._move("record_checksum", seq=seq, crc32c=item["crc32c"])
            self._journal.amend(seq, item)

    def reap(self, state: State, before: float, limit: int = 1000) -> int:
        """Forget finished uploads older than `before`. Return how many."""
        return self._change("reap", state=state.value, before=before, limit=limit)

    # -- a person's moves, from any process -------------------------------------------------------

    def retry(self, upload: Upload) -> State:
        """Dead -> ready, with the dead symlinks to it; -> superseded if a newer version is there.

        Return the state that it is in now.
        """
        with self._journal.transaction():
            self._retry(upload)
        return self.upload(upload.seq).state

    def cancel(self, upload: Upload) -> bool:
        """Ready or dead -> cancelled; for an active one ask the supervisor. True if it ended."""
        with self._journal.transaction():
            give_up = partial(self._move, "cancel_waiting", seq=upload.seq, now=clock.now())
            if self._even_if_edited(give_up):
                return True
            self._move("request_cancel", seq=upload.seq)
            return False

    # -- helpers --------------------------------------------------------------------------------

    def _started(self, upload: Upload) -> int:
        seqs = json.dumps([upload.seq])
        try:
            return self._change("start", seqs=seqs)
        except sqlite3.IntegrityError as error:
            with self._journal.unchecked():
                self._change("start", seqs=seqs)
                self._bury(upload, upload.error or row_damaged(str(error)))
            return 0

    def _buried(self, upload: Upload, item: Any) -> bool:
        """Make a dead letter of an upload that is not as it was logged; tell whether it was."""
        error = upload.error if upload.error_class is ErrorClass.DAMAGED else fault(upload, item)
        if error is not None:
            self._bury(upload, error)
        return error is not None

    def _bury(self, upload: Upload, error: str) -> None:
        self.fail(upload, ErrorClass.DAMAGED, error)
        self.tidied(upload.seq)  # nothing is removed by a name, or a session, that may be anything
        _log.error(
            "dead letter: %s: %s", upload.name, error,
            extra=about(upload, error_class=ErrorClass.DAMAGED.value, bytes=upload.size),
        )  # fmt: skip

    def _even_if_edited(self, move: Callable[[], T]) -> T:
        """Make a move of one row, also where it was edited into what no row may be."""
        try:
            return move()
        except sqlite3.IntegrityError:
            with self._journal.unchecked():
                return move()

    def _retry(self, upload: Upload) -> None:
        if self._rows("newer_version", name=upload.name, seq=upload.seq):
            self._move("supersede_dead", seq=upload.seq, now=clock.now())
        elif self._move("revive", seq=upload.seq):
            self._journal.put_back(upload.seq)
            for seq in self._seqs("dead_links_to", name=upload.name, seq=upload.seq):
                self._retry(self.upload(seq))

    def _seqs(self, statement: str, /, **parameters: Any) -> list[int]:
        return [row[0] for row in self._rows(statement, **parameters)]

    def _rows(self, statement: str, /, **parameters: Any) -> list[Any]:
        return self._journal.rows(_sql(statement), parameters)

    def _move(self, statement: str, /, **parameters: Any) -> bool:
        return self._change(statement, **parameters) > 0

    def _change(self, statement: str, /, **parameters: Any) -> int:
        return self._journal.execute(_sql(statement), parameters).rowcount

    @staticmethod
    def _require(moved: bool, uploads: list[Upload], what: str) -> None:
        if not moved:
            which = ", ".join(f"{one.id} ({one.name})" for one in uploads)
            msg = f"not in the state to {what}, one or more of: {which}"
            raise RuntimeError(msg)
