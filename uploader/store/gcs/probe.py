"""Find out, by doing it, what a bucket allows and what its service honours.

Cloud Storage itself honours everything; emulators, and services that speak its language, do not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from uploader.checksum import crc32c
from uploader.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    TransientError,
)
from uploader.model import Part
from uploader.place import Capabilities
from uploader.store import trial
from uploader.store.body import Body
from uploader.store.gcs import sessions
from uploader.store.gcs.errors import is_digest
from uploader.store.gcs.resources import crc32c_in, info_of
from uploader.store.gcs.sessions import MULTIPLE, Session
from uploader.store.http.refused import status_of
from uploader.store.names import FREE
from uploader.store.probe import Finding, Probed, Verdict, refusal
from uploader.store.trial import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.config import Options
    from uploader.store.gcs.bucket import Bucket
    from uploader.store.gcs.resources import Arguments
    from uploader.store.names import Condition

OK, WARNING, REFUSED = Verdict.OK, Verdict.WARNING, Verdict.REFUSED
CONDITION = "ifGenerationMatch"
LARGE = bytes(MULTIPLE) + TEXT  #: goes through a session in two steps
NEVER = "1"  #: a generation that no object has: they are times, in microseconds


def require_access(bucket: Bucket, prefix: str, arguments: Arguments) -> None:
    """Find out whether objects may be put, without leaving one.

    Raises:
        AuthError, PermanentError: they may not.
    """
    patience = trial.Patience(_passes)
    patience.begin()
    key = trial.new_key(prefix)
    resource = arguments.resource(key, trial.meta_of(), None)
    uri = patience.again(lambda: bucket.start(resource, len(TEXT), FREE))
    with suppress(PermanentError, SessionLostError):  # it ends by itself
        patience.again(lambda: bucket.cancel(uri, key))


class Probe:
    """One trial of one bucket."""

    def __init__(self, bucket: Bucket, prefix: str, arguments: Arguments, options: Options) -> None:
        """Prepare to write below `prefix`."""
        self._bucket, self._with, self._options = bucket, arguments, options
        self._key = trial.new_key(prefix)
        self._wrong, self._copy = f"{self._key}-wrong", f"{self._key}-copy"
        self._large, self._composed = f"{self._key}-large", f"{self._key}-composed"
        self._can = Capabilities(bucket.endpoint)
        self._patience = trial.Patience(_passes)
        self._again, self._tried = self._patience.again, self._patience.tried
        self._refuses = self._patience.refuses

    def run(self) -> Probed:
        """Try everything, or what there is until the first refusal.

        Raises:
            TransientError: the service could not be asked.
        """
        trials = (
            self._access, self._put, self._checksums, self._create, self._replace, self._delete,
            self._sessions, self._creates_by_session, self._parts, self._copies, self._read,
            self._list, self._clock,
        )  # fmt: skip
        return trial.run(trials, self._clean, lambda: self._can)

    # -- trials, in the order of an artifact's way ------------------------------------------------

    def _access(self) -> Iterator[Finding]:
        """Ask for what is not there: the service must tell that from what is forbidden."""
        try:
            self._bucket.get(self._key)
        except NotFoundError:
            self._patience.begin()
            yield Finding("bucket and credentials", OK, f"{self._bucket.url(None)} answers")
        except (AuthError, PermanentError) as error:
            yield refusal("bucket and credentials", error)

    def _put(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._insert(self._key, None))
        if isinstance(error, NotFoundError):
            name = self._bucket.name
            msg = f"there is no bucket {name} at {self._bucket.endpoint}; make it, or correct the "
            error = PermanentError(f"{msg}destination")
        yield refusal("put", error) if error else Finding("put", OK, "an object was written")

    def _checksums(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._insert(self._wrong, None, wrong=1))
        self._can = replace(self._can, crc32c=bool(error and is_digest(error)))
        if self._can.crc32c:
            yield Finding("CRC32C", OK, "a put with a wrong checksum is refused")
        else:
            yield Finding(
                "CRC32C", WARNING, "checksums are ignored",
                "what arrives damaged is noticed after it is visible; compare with: "
                "uploader verify --deep",
            )  # fmt: skip

    def _create(self) -> Iterator[Finding]:
        done = self._refuses(lambda: self._insert(self._key, FREE))
        self._can = replace(self._can, conditional_put=done)
        yield self._create_only("create-only put", done)

    def _replace(self) -> Iterator[Finding]:
        right = self._tried(lambda: self._insert(self._key, self._generation(self._key)))
        if right and status_of(right) == HTTPStatus.FORBIDDEN:
            yield _not_allowed("guarded overwrite", right)
            return
        wrong = self._refuses(lambda: self._insert(self._key, NEVER))
        self._can = replace(self._can, conditional_replace=wrong and not right)
        yield self._guarded("overwrite", self._can.conditional_replace, "put")

    def _delete(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._bucket.delete(self._key, NEVER))
        if error and status_of(error) == HTTPStatus.FORBIDDEN:
            yield _not_allowed("guarded delete", error)
            return
        done = isinstance(error, ConflictError)
        self._can = replace(self._can, conditional_delete=done)
        if not done:
            self._tried(lambda: self._insert(self._key, None))  # it may be gone
        yield self._guarded("delete", done, "delete")

    def _sessions(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._by_session(None))
        kept = error is None and crc32c_in(self._resource(self._large)) == crc32c(LARGE)
        self._can = replace(self._can, sessions=kept)
        if kept:
            wrong = self._tried(lambda: self._by_session(None, wrong=1))
            self._can = replace(self._can, whole_crc32c=wrong is not None)
            checked = "is checked" if wrong else "is not checked before it is visible"
            yield Finding("resumable session", OK, f"goes on where it was; the whole {checked}")
        else:
            yield Finding(
                "resumable session", WARNING, str(error or "what was sent is not what was stored"),
                "a large file is sent in one request, and after a kill from its start again",
            )  # fmt: skip

    def _creates_by_session(self) -> Iterator[Finding]:
        if not self._can.sessions:
            return
        done = self._refuses(lambda: self._by_session(FREE))
        self._can = replace(self._can, conditional_complete=done)
        yield self._create_only("create-only object by session", done)

    def _parts(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._compose(None))
        right = not error and crc32c_in(self._resource(self._composed)) == crc32c(TEXT + TEXT)
        can = right and self._refuses(lambda: self._compose(FREE))
        self._can = replace(self._can, compose=can)
        if can:
            yield Finding("parts at once", OK, f"{CONDITION} is honoured by compose")
        else:
            yield Finding(
                "parts at once", WARNING, str(error or "compose does not do what was asked"),
                "a very large file goes through one session, a part after another",
            )  # fmt: skip

    def _copies(self) -> Iterator[Finding]:
        error = self._tried(lambda: self._rewrite(None))
        self._can = replace(self._can, copy=not error)
        if error:
            yield Finding("copy", WARNING, str(error), "do not use --symlink-mode copy")
            return
        done = self._refuses(lambda: self._rewrite(FREE))
        self._can = replace(self._can, conditional_copy=done)
        yield self._create_only("create-only copy", done)

    def _read(self) -> Iterator[Finding]:
        if self._again(lambda: b"".join(self._bucket.portions(self._key, 0))) == TEXT:
            yield Finding("get", OK, "what was written was read")
        else:
            yield refusal("get", PermanentError("what was read is not what was written"))

    def _list(self) -> Iterator[Finding]:
        if error := self._tried(lambda: list(self._bucket.list(self._key, 1))):
            self._can = replace(self._can, compose=False)  # its parts could not be found again
            advice = (
                "uploader gc and uploader verify need it, and a very large file goes through one "
                "session"
            )
            yield Finding("list", WARNING, str(error), advice)
        else:
            yield Finding("list", OK, "for uploader gc and uploader verify")

    def _clock(self) -> Iterator[Finding]:
        date, at = self._bucket.dated
        if date:
            advice = "tokens that it asks for are refused otherwise"
            yield trial.of_clock(trial.skew_of(date, at), advice)

    def _clean(self) -> Finding:
        parts = (f"{self._composed}-1", f"{self._composed}-2")
        try:
            for key in (self._key, self._wrong, self._copy, self._large, self._composed, *parts):
                with suppress(NotFoundError):
                    self._again(partial(self._bucket.delete, key))
        except StoreError as error:
            self._can = replace(self._can, compose=False)  # its parts would stay
            return Finding(
                "delete", WARNING, str(error),
                f"{self._bucket.url(self._key)} stays; nothing can be overwritten, and a very "
                "large file goes through one session",
            )  # fmt: skip
        return Finding("delete", OK, "the trial's objects are gone")

    # -- requests -------------------------------------------------------------------------------

    def _insert(self, key: str, condition: Condition, *, wrong: int = 0) -> None:
        resource = self._with.resource(key, trial.meta_of(), crc32c(TEXT) ^ wrong)
        self._bucket.insert(resource, Body.of_bytes(TEXT), condition)

    def _by_session(self, condition: Condition, *, wrong: int = 0) -> None:
        """Make an object in two steps, and ask between them; its checksum is false with `wrong`."""
        key, whole = self._large, Body.of_bytes(LARGE)
        resource = self._with.resource(key, trial.meta_of(LARGE), crc32c(LARGE) ^ wrong)
        session = Session(self._bucket.start(resource, len(LARGE), condition), len(LARGE))
        first = sessions.send(
            self._bucket, key, session, Part(1, 0, MULTIPLE), whole.piece(0, MULTIPLE)
        )
        if not sessions.sent_parts(self._bucket, key, session, [first]):
            msg = "a session does not tell what was sent to it"
            raise PermanentError(msg)
        sessions.complete(self._bucket, key, session, whole)

    def _compose(self, condition: Condition) -> None:
        parts = []
        for key in (f"{self._composed}-1", f"{self._composed}-2"):
            with suppress(ConflictError):
                self._insert(key, FREE)
            parts.append((key, self._generation(key)))
        resource = self._with.resource(self._composed, trial.meta_of(TEXT + TEXT), None)
        self._bucket.compose(parts, resource, condition)

    def _rewrite(self, condition: Condition) -> None:
        resource = self._with.resource(self._copy, trial.meta_of(), None)
        self._bucket.rewrite(self._key, self._generation(self._key), resource, condition)

    def _resource(self, key: str) -> dict[str, object]:
        found: dict[str, object] = self._again(lambda: self._bucket.get(key))
        return found

    def _generation(self, key: str) -> str:
        return info_of(key, self._bucket.get(key), self._bucket.url(key)).etag

    # -- outcomes -------------------------------------------------------------------------------

    def _create_only(self, what: str, honoured: bool) -> Finding:
        unsafe = self._options.allow_unsafe_create
        return trial.create_only(what, honoured, condition=CONDITION, unsafe=unsafe)

    @staticmethod
    def _guarded(what: str, honoured: bool, request: str) -> Finding:
        if honoured:
            return Finding(f"guarded {what}", OK, f"{CONDITION} is honoured")
        return Finding(
            f"guarded {what}", WARNING, f"{CONDITION} is not honoured",
            f"a {request} of a killed worker that is still under way may meet a newer version",
        )  # fmt: skip


def _not_allowed(what: str, error: StoreError) -> Finding:
    """Return the finding about what could not be tried: it counts as honoured, as all else is.

    The permission may come later, and what was found out is remembered.
    """
    detail, _, advice = str(error).rpartition("; ")
    return Finding(what, WARNING, detail, advice)


def _passes(error: BaseException) -> bool:
    """Tell a fault that passes from an answer: here a bad digest is what is asked about."""
    answered = isinstance(error, SessionLostError) or (
        isinstance(error, StoreError) and is_digest(error)
    )
    return isinstance(error, TransientError) and not answered
