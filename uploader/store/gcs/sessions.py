"""Send a large object through one resumable session, a part after another.

What "Resumable uploads" of the documentation says, and what follows from it:

- The service tells how far it has got (308 with `Range`), and keeps a multiple of 256 KiB. Bytes
  that it has already are ignored when they are sent again, so a part may be repeated. (Another
  service may refuse them; it is asked then.)
- The last byte makes the object, under the condition that the session was opened with. So the end
  of the last part is held back, and sent when the object is completed.
- A session ends after a week, or on a whim of the service (404, 410): then another one is begun.
- Whoever has the URI may write to it: it stands in the spool, and in no message.
- Sessions cannot be listed. One that nobody knows of any more costs nothing, and ends by itself.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uploader.errors import PermanentError, SessionLostError, TransientError
from uploader.model import SentPart
from uploader.store.base import IN_ORDER
from uploader.store.body import Body, held_back
from uploader.store.gcs.bucket import RESUME_INCOMPLETE
from uploader.store.http.refused import status_of

if TYPE_CHECKING:
    from uploader.model import Part
    from uploader.store.gcs.bucket import Bucket
    from uploader.store.http.reply import Answer

#: Bytes; every chunk but the last of a session has a multiple of this, and so has what is kept.
MULTIPLE = 256 << 10
#: Times that a part is gone on with of which the service kept a piece only.
PIECES = 16
MARK = "sent"  #: of every part: only how far the session has got counts

_RANGE = re.compile(r"bytes=0-([0-9]{1,18})")


@dataclass(frozen=True)
class Session:
    """An open session, as the spool remembers it."""

    uri: str = field(repr=False)  #: a secret
    size: int  #: bytes of the whole

    def __str__(self) -> str:
        """Return the form that is stored."""
        return IN_ORDER + json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Session:
        """Read what `str` gave; `SessionLostError` if it is something else."""
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            said = json.loads(text.removeprefix(IN_ORDER))
            if type(said["uri"]) is str and type(said["size"]) is int and said["size"] > 0:
                return cls(**said)
        raise SessionLostError("the session in the spool cannot be read; the upload begins again")

    @property
    def held_back(self) -> int:
        """Where the bytes begin that make the object: the last of them, at most `MULTIPLE`."""
        return (self.size - 1) // MULTIPLE * MULTIPLE


def send(bucket: Bucket, key: str, session: Session, part: Part, body: Body) -> SentPart:
    """Send a part, up to what is held back; all of it is read and checked.

    Raises:
        DamagedError: the body is not what was logged; its end was not sent.
        SessionLostError: the session is gone.
        TransientError: what comes before the part is not there: the session is to be asked first.
    """
    sent = SentPart(part.number, part.size, MARK)
    at, end = part.offset, min(part.offset + part.size, session.held_back)
    rest = held_back(body, max(0, end - at))
    if at >= end:
        for _ in rest:  # nothing: it is read to be checked
            pass
        return sent
    for _ in range(PIECES):
        try:
            said = bucket.send(session.uri, key, f"{at}-{end - 1}/{session.size}", rest, end - at)
        except PermanentError as error:
            if status_of(error) != HTTPStatus.BAD_REQUEST:
                raise
            said = bucket.send(session.uri, key, f"*/{session.size}")
            if _persisted(said, session) == at:  # that was what it should go on from
                raise
        has = _persisted(said, session)
        if has >= end:
            return sent
        if has < at:
            msg = f"{bucket.url(key)}: the session has {has} bytes, not the {at} before this part"
            raise TransientError(msg)
        at = has
        rest = held_back(body.piece(at, end - at))
    msg = f"{bucket.url(key)}: the service keeps only pieces of a part"
    raise TransientError(msg)


def sent_parts(
    bucket: Bucket, key: str, session: Session, recorded: list[SentPart]
) -> list[SentPart]:
    """Return the recorded parts that the session has.

    Raises:
        SessionLostError: the session is gone.
    """
    has = _persisted(bucket.send(session.uri, key, f"*/{session.size}"), session)
    there, end = [], 0
    for number, part in enumerate(sorted(recorded, key=lambda part: part.number), start=1):
        end = min(end + part.size, session.held_back)
        if part.number != number or end > has:
            break
        there.append(part)
    return there


def complete(bucket: Bucket, key: str, session: Session, whole: Body) -> Any:
    """Send what was held back, and return the resource of the object that this makes.

    Raises:
        ConflictError: the condition does not hold that the session was opened with.
        SessionLostError: the session is gone, or has lost what was sent to it.
    """
    at, size = session.held_back, session.size
    end = whole.piece(at, size - at)  # the service checks the whole
    said = bucket.send(session.uri, key, f"{at}-{size - 1}/{size}", held_back(end), end.size)
    has = _persisted(said, session)
    if has < at:
        msg = f"{bucket.url(key)}: the session has {has} bytes of {at} that were sent"
        raise SessionLostError(msg)
    if said.status == RESUME_INCOMPLETE:
        raise TransientError(f"{bucket.url(key)}: the service did not take the last bytes")
    return bucket.document_in(said, key)


def cancel(bucket: Bucket, key: str, session: Session) -> None:
    """End a session; one that is gone is success, or that has come to its end by making its object.

    Where none can be ended it ends by itself.
    """
    with suppress(SessionLostError, PermanentError):
        bucket.cancel(session.uri, key)


def _persisted(said: Answer, session: Session) -> int:
    """Return how many bytes a session has; without a `Range` it has none."""
    if said.status != RESUME_INCOMPLETE:
        return session.size
    found = _RANGE.fullmatch(said.headers.get("range", ""))
    has = int(found.group(1)) + 1 if found else 0
    return has if has <= session.size else 0  # it cannot be
