"""Keep resumable sessions: what came, what is told of it, when one is over.

From "Resumable uploads" and "Perform resumable uploads" of GCS's documentation:

- What a session says it has is a multiple of 256 KiB until the object is finalised; a chunk that is
  not the last must be one. A body that breaks off counts cut to such a multiple; what came beyond
  it has to be sent again.
- Bytes below the persisted offset are read and ignored.
- A session is over a week after its begin. What is over, by whichever end, answers 410, an id that
  never was 404: a client starts again at either.

Where the documentation is silent, and what is done here:

- Bytes above the persisted offset: 400 with the message that Google's upload servers give. Nothing
  is kept, the session goes on.
- A failed precondition or checksum at the finalisation ends the session: 410 afterwards.
- Preconditions are checked when the object is finalised; with `check_at_begin` at the begin too.
- Two requests that bring bytes at once: the later one goes on, the earlier is cut off with 503. A
  status query cuts nobody off.
- A status query that names the total finalises where all of it is persisted: so an upload of
  unknown length is ended. One that names no total never does.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs import checksums
from tests.servers.strict_gcs.contents import Content, Contents, write_all
from tests.servers.strict_gcs.errors import ApiError, gone, invalid

if TYPE_CHECKING:
    from tests.servers.strict_gcs.catalogue import Catalogue, Record
    from tests.servers.strict_gcs.ranges import Sent
    from tests.servers.strict_gcs.wire import Body

#: Bytes.
QUANTUM = 256 * 1024


@dataclasses.dataclass
class Session:
    """One upload. `query` is that of its begin, with the preconditions.

    `outcome` is the finished object's resource; `over` says why it takes nothing more.
    """

    id: str
    bucket: str
    name: str
    resource: dict[str, Any]
    query: dict[str, str]
    total: int | None
    file: str
    begun: float
    outcome: dict[str, Any] | None = None
    over: str | None = None
    persisted: int = 0
    crc: int | None = 0
    turn: int = 0
    lock: Any = dataclasses.field(default_factory=threading.RLock)

    @property
    def told(self) -> int:
        """How much of it a client may count on, and go on from."""
        return self.persisted - self.persisted % QUANTUM


class Sessions:
    """All of them, those that are over too."""

    def __init__(self, catalogue: Catalogue, contents: Contents) -> None:
        self._catalogue = catalogue
        self._contents = contents
        self._sessions: dict[str, Session] = {}

    def begin(
        self,
        bucket: str,
        name: str,
        resource: dict[str, Any],
        query: dict[str, str],
        total: int | None,
    ) -> Session:
        """Make a session."""
        session = Session(
            secrets.token_urlsafe(48),
            bucket,
            name,
            resource,
            query,
            total,
            self._contents.new_file(),
            time.time(),
        )
        told = ("id", "bucket", "name", "resource", "query", "total", "file", "begun")
        record = {key: getattr(session, key) for key in told}
        self._catalogue.record({"is": "session", **record})
        self._sessions[session.id] = session
        return session

    def find(self, bucket: str, session_id: str, lifetime: float) -> Session:
        """Return a session that is open or finished.

        Raises:
            ApiError: 404 for one that never was, 410 for one that is over.
        """
        session = self._sessions.get(session_id)
        if session is None or session.bucket != bucket:
            raise ApiError(404, "notFound", "No such upload session")
        if session.outcome is None and session.begun + lifetime < time.time():
            self.end(session, "expired")
        if session.over:
            raise gone(f"The upload session has {session.over}")
        return session

    def end(self, session: Session, why: str) -> None:
        """Give a session up, and what it had."""
        with session.lock:
            if session.outcome or session.over:
                return
            session.over = why
            self._catalogue.record({"is": "session over", "id": session.id, "why": why})
            os.unlink(self._contents.path(session.file))

    def expire_all(self) -> None:
        """Let a week pass for every open session."""
        for session in list(self._sessions.values()):
            self.end(session, "expired")

    def open_sessions(self) -> list[dict[str, Any]]:
        """Tell of those that are neither finished nor over."""
        return [
            {"bucket": each.bucket, "name": each.name, "persisted": each.told}
            for each in list(self._sessions.values())
            if not each.outcome and not each.over
        ]

    def take(self, session: Session, sent: Sent, body: Body) -> None:
        """Persist what a request brings.

        Raises:
            ApiError: 400; 503 if a later request took over.
            BrokenOffError: the body broke off; what came is kept.
        """
        with session.lock:
            _check(session, sent)
            session.turn += 1
            turn = session.turn
            ignored = session.persisted - sent.first
        with open(self._contents.path(session.file), "r+b", buffering=0) as out:
            for view in body.pieces():
                if ignored < len(view):
                    _persist(session, turn, out.fileno(), view[max(0, ignored) :])
                ignored -= len(view)
        body.require_whole()
        if sent.end is None:
            with session.lock:
                _agree_on_total(session, session.persisted)

    def reached(self, session: Session, sent: Sent) -> bool:
        """Tell whether all of it is persisted, as far as a total is known."""
        with session.lock:
            if sent.status:
                _agree_on_total(session, sent.total)
            known = sent.total if sent.status else session.total
            return known is not None and session.persisted == known

    def content(self, session: Session, *, with_md5: bool) -> Content:
        """Make a content of a session that has everything."""
        if session.crc is None:
            session.crc = self._contents.crc_of(session.file, session.persisted)
        return self._contents.of_file(
            session.file, session.persisted, session.crc, with_md5=with_md5
        )

    def replay(self, record: Record) -> None:
        """Do again what a record says."""
        if record["is"] == "session":
            told = {key: value for key, value in record.items() if key != "is"}
            self._sessions[record["id"]] = Session(**told)
        elif record["is"] == "session over":
            self._sessions[record["id"]].over = record["why"]
        elif record["is"] == "object" and "session" in record:
            self._sessions[record["session"]].outcome = record["resource"]

    def find_persisted(self) -> set[str]:
        """Look what a killed server left of each open session; return their files."""
        files = set()
        for session in self._sessions.values():
            if session.outcome or session.over:
                continue
            session.persisted = os.path.getsize(self._contents.path(session.file))
            session.crc = None
            files.add(session.file)
        return files


def _check(session: Session, sent: Sent) -> None:
    """Refuse a chunk that does not fit."""
    if sent.first > session.told:
        raise invalid(
            "Invalid request.  According to the Content-Range header, the upload offset is "
            f"{sent.first} byte(s), which exceeds already uploaded size of "
            f"{session.told} byte(s).",
            "badRequest",
        )
    total = sent.total if session.total is None else session.total
    if sent.end is not None:
        if total is not None and sent.end > total:
            raise invalid(f"The chunk ends at {sent.end}, after the total of {total}")
        if sent.end != total and (sent.end - sent.first) % QUANTUM:
            raise invalid("A chunk that is not the last must be a multiple of 256 KiB")
    _agree_on_total(session, sent.total)


def _agree_on_total(session: Session, told: int | None) -> None:
    if told is None:
        return
    if session.total not in {None, told}:
        raise invalid(f"The upload's total is {session.total}, not {told}")
    session.total = told


def _persist(session: Session, turn: int, descriptor: int, view: memoryview) -> None:
    with session.lock:
        if session.turn != turn or session.outcome or session.over:
            raise ApiError(503, "backendError", "Another request goes on with this session")
        write_all(descriptor, view, session.persisted)
        if session.crc is not None:
            session.crc = checksums.extend(session.crc, view)
        session.persisted += len(view)
