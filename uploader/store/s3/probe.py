"""Find out, by doing it, what a bucket allows and what its service honours."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.checksum import crc32c
from uploader.errors import (
    AuthError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    TransientError,
)
from uploader.place import Capabilities
from uploader.store import trial
from uploader.store.body import Body
from uploader.store.http.refused import code_of, status_of
from uploader.store.probe import Finding, Probed, Verdict, refusal
from uploader.store.s3 import sessions
from uploader.store.s3.answers import base64_of
from uploader.store.s3.reader import md5_of
from uploader.store.trial import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.config import Options
    from uploader.store.s3.arguments import Arguments
    from uploader.store.s3.bucket import Bucket

_OF_DIGESTS = frozenset(["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"])

OK, WARNING, REFUSED = Verdict.OK, Verdict.WARNING, Verdict.REFUSED


def require_access(bucket: Bucket, prefix: str, arguments: Arguments) -> None:
    """Find out whether objects may be put, without leaving one.

    Raises:
        AuthError, PermanentError: they may not.
    """
    _require_bucket(bucket, arguments)
    patience = trial.Patience(_passes)
    patience.begin()
    key, given = trial.new_key(prefix), arguments.of_object(trial.meta_of(None))
    answer = patience.again(lambda: bucket.ask("create_multipart_upload", key, **given))
    with suppress(PermanentError):  # to abort is another permission; `uploader check` tells of it
        session = {"UploadId": answer["UploadId"], **arguments.of_any}
        patience.again(lambda: bucket.ask("abort_multipart_upload", key, **session))


class Probe:
    """One trial of one bucket."""

    def __init__(self, bucket: Bucket, prefix: str, arguments: Arguments, options: Options) -> None:
        """Prepare to write below `prefix`."""
        self._bucket, self._with, self._options = bucket, arguments, options
        key = trial.new_key(prefix)
        self._key, self._copy, self._parts = key, f"{key}-copy", f"{key}-parts"
        self._can = Capabilities(bucket.endpoint, way=bucket.way)
        self._skew: float | None = None
        self._patience = trial.Patience(_passes)
        self._again, self._tried = self._patience.again, self._patience.tried
        self._refuses = self._patience.refuses

    def run(self) -> Probed:
        """Try everything, or what there is until the first refusal.

        Raises:
            TransientError: the service could not be asked.
        """
        trials = (
            self._access, self._put, self._missing, self._checksums, self._create, self._replace,
            self._delete, self._in_parts, self._copies, self._read, self._list_unfinished,
            self._clock,
        )  # fmt: skip
        return trial.run(trials, self._clean, lambda: self._can)

    # -- trials, in the order of an artifact's way ------------------------------------------------

    def _access(self) -> Iterator[Finding]:
        try:
            _require_bucket(self._bucket, self._with)
        except (AuthError, PermanentError) as error:
            yield refusal("bucket and credentials", error)
        else:
            self._patience.begin()
            yield Finding("bucket and credentials", OK, f"{self._bucket.url(None)} is there")

    def _put(self) -> Iterator[Finding]:
        """Put with a CRC32C; where that is not understood, with a Content-MD5."""
        error = self._tried(lambda: self._put_object(self._key))
        if error and status_of(error) in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_IMPLEMENTED):
            self._can = replace(self._can, crc32c=False, whole_crc32c=False)
            error = self._tried(lambda: self._put_object(self._key))
        yield refusal("put", error) if error else Finding("put", OK, "an object was written")

    def _missing(self) -> Iterator[Finding]:
        """Ask for what is not there: a service may only say that it will not tell."""
        try:
            self._again(lambda: self._head(f"{self._key}-none"))
        except NotFoundError:
            yield Finding("head", OK, "what is missing is told from what is forbidden")
        except (AuthError, PermanentError) as error:
            yield refusal("head", error)

    def _checksums(self) -> Iterator[Finding]:
        wrong = {"ChecksumCRC32C": base64_of(crc32c(TEXT) ^ 1)}
        if self._can.crc32c and not self._tried(lambda: self._put_object(self._key, **wrong)):
            self._can = replace(self._can, crc32c=False)
            self._tried(lambda: self._put_object(self._key))
        if self._can.crc32c:
            yield Finding("CRC32C", OK, "a put with a wrong checksum is refused")
        else:
            yield Finding(
                "CRC32C", WARNING, "checksums are ignored",
                "files are read twice, to send a Content-MD5; compare with: uploader verify --deep",
            )  # fmt: skip

    def _create(self) -> Iterator[Finding]:
        done = self._refuses(lambda: self._put_object(self._key, IfNoneMatch="*"))
        self._can = replace(self._can, conditional_put=done)
        yield self._create_only("create-only put", done)

    def _replace(self) -> Iterator[Finding]:
        right = self._tried(
            lambda: self._put_object(self._key, IfMatch=str(self._head(self._key)["ETag"]))
        )
        wrong = self._refuses(lambda: self._put_object(self._key, IfMatch='"0"'))
        self._can = replace(self._can, conditional_replace=wrong and not right)
        if self._can.conditional_replace:
            yield Finding("guarded overwrite", OK, "If-Match is honoured")
        else:
            yield Finding(
                "guarded overwrite", WARNING, "If-Match is not honoured",
                "a put of a killed worker that is still under way may land after a newer version",
            )  # fmt: skip

    def _delete(self) -> Iterator[Finding]:
        done = self._refuses(
            lambda: self._bucket.ask("delete_object", self._key, IfMatch='"0"', **self._with.of_any)
        )
        self._can = replace(self._can, conditional_delete=done)
        if done:
            yield Finding("guarded delete", OK, "If-Match is honoured")
        else:
            self._tried(lambda: self._put_object(self._key))  # it may be gone
            yield Finding(
                "guarded delete", WARNING, "If-Match is not honoured",
                "a delete of a killed worker that is still under way may take a newer version",
            )  # fmt: skip

    def _in_parts(self) -> Iterator[Finding]:
        if self._can.whole_crc32c:
            whole = not self._tried(lambda: self._put_parts(self._parts))
            wrong = whole and self._tried(lambda: self._put_parts(self._parts, wrong=1))
            self._can = replace(self._can, whole_crc32c=bool(wrong))
        error = self._tried(lambda: self._put_parts(self._parts))
        if error:
            yield refusal("object in parts", error)
            return
        if self._can.whole_crc32c:
            yield Finding("object in parts", OK, "with the CRC32C of the whole")
        else:
            yield Finding(
                "object in parts", WARNING, "no CRC32C of the whole is checked",
                "each part is sent with a Content-MD5 instead; files are read twice",
            )  # fmt: skip
        done = self._refuses(lambda: self._put_parts(self._parts, IfNoneMatch="*"))
        self._can = replace(self._can, conditional_complete=done)
        yield self._create_only("create-only object in parts", done)

    def _copies(self) -> Iterator[Finding]:
        error = self._tried(self._copy_object)
        self._can = replace(self._can, copy=not error)
        if error:
            yield Finding("copy", WARNING, str(error), "do not use --symlink-mode copy")
            return
        done = self._refuses(lambda: self._copy_object(IfNoneMatch="*"))
        self._can = replace(self._can, conditional_copy=done)
        how = "create-only in one request" if done else "create-only as an object in parts"
        yield Finding("copy", OK, how if done or self._can.conditional_complete else "unguarded")

    def _read(self) -> Iterator[Finding]:
        if self._again(self._content) == TEXT:
            yield Finding("get", OK, "what was written was read")
        else:
            yield refusal("get", PermanentError("what was read is not what was written"))

    def _list_unfinished(self) -> Iterator[Finding]:
        error = self._tried(
            lambda: self._bucket.ask(
                "list_multipart_uploads", Prefix=self._key, MaxUploads=1, **self._with.of_any
            )
        )
        if error:
            advice = "uploader gc cannot find unfinished uploads: let the bucket's lifecycle do it"
            yield Finding("list unfinished uploads", WARNING, str(error), advice)
        else:
            yield Finding("list unfinished uploads", OK, "for uploader gc")

    def _clock(self) -> Iterator[Finding]:
        if self._skew is not None:
            yield trial.of_clock(self._skew, "S3 refuses at 15 min")

    def _clean(self) -> Finding:
        try:
            for key in (self._key, self._copy, self._parts):
                self._again(partial(self._bucket.ask, "delete_object", key, **self._with.of_any))
        except StoreError as error:
            return Finding(
                "delete", WARNING, str(error),
                f"{self._bucket.url(self._key)} stays; a file cannot replace a symlink of its name",
            )  # fmt: skip
        with suppress(StoreError):  # left by faults, if anything: `uploader gc` finds it too
            self._again(
                lambda: sessions.sweep(self._bucket, self._parts, set(), -math.inf, self._with)
            )
        return Finding("delete", OK, "the trial's objects are gone")

    # -- requests -------------------------------------------------------------------------------

    def _put_object(self, key: str, **more: Any) -> None:
        answer = self._bucket.send(
            "put_object",
            key,
            Body.of_bytes(TEXT),
            **{**self._checked(self._can.crc32c), **more},
            **self._with.of_object(trial.meta_of()),
        )
        if date := answer.get("Date"):
            self._skew = trial.skew_of(date, clock.now())

    def _put_parts(self, key: str, *, wrong: int = 0, **condition: Any) -> None:
        """Make an object of a single part; its checksum is false with `wrong`."""
        whole = self._can.whole_crc32c
        kind = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"} if whole else {}
        session = self._bucket.ask(
            "create_multipart_upload", key, **kind, **self._with.of_object(trial.meta_of())
        )["UploadId"]
        try:
            checked = {"ChecksumCRC32C": base64_of(crc32c(TEXT) ^ wrong)} if wrong else {}
            part = self._bucket.send(
                "upload_part", key, Body.of_bytes(TEXT), UploadId=session, PartNumber=1,
                **{**self._checked(whole), **checked}, **self._with.of_bytes,
            )  # fmt: skip
            sums = {"ChecksumCRC32C": base64_of(crc32c(TEXT)), "ChecksumType": "FULL_OBJECT"}
            self._bucket.ask(
                "complete_multipart_upload", key, UploadId=session,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
                **(sums if whole else {}), **condition, **self._with.of_bytes,
            )  # fmt: skip
        except StoreError:
            with suppress(StoreError):
                sessions.abort(self._bucket, key, session, self._with)
            raise

    def _copy_object(self, **condition: Any) -> None:
        self._bucket.ask(
            "copy_object",
            self._copy,
            CopySource={"Bucket": self._bucket.name, "Key": self._key},
            MetadataDirective="REPLACE",
            **condition,
            **self._with.of_source,
            **self._with.of_object(trial.meta_of()),
        )

    def _head(self, key: str) -> dict[str, Any]:
        return self._bucket.head(key, **self._with.of_bytes)

    def _content(self) -> bytes:
        answer = self._bucket.ask("get_object", self._key, **self._with.of_bytes)
        return b"".join(self._bucket.portions(self._key, answer))

    @staticmethod
    def _checked(by_crc32c: bool) -> dict[str, str]:
        if by_crc32c:
            return {"ChecksumCRC32C": base64_of(crc32c(TEXT))}
        return {"ContentMD5": md5_of(Body.of_bytes(TEXT))}

    # -- outcomes -------------------------------------------------------------------------------

    def _create_only(self, what: str, honoured: bool) -> Finding:
        unsafe = self._options.allow_unsafe_create
        return trial.create_only(what, honoured, condition="If-None-Match", unsafe=unsafe)


def _passes(error: BaseException) -> bool:
    """Tell a fault that passes from an answer: here a bad digest is what is asked about."""
    answered = isinstance(error, SessionLostError) or (
        isinstance(error, StoreError) and code_of(error) in _OF_DIGESTS
    )
    return isinstance(error, TransientError) and not answered


def _require_bucket(bucket: Bucket, arguments: Arguments) -> None:
    """Raise why the bucket cannot be used; a missing permission to look at it is no reason."""
    try:
        bucket.ask("head_bucket")
    except NotFoundError as error:
        msg = (
            f"there is no bucket {bucket.name} at {bucket.endpoint}; make it, or correct the "
            "destination"
        )
        raise PermanentError(msg) from error
    except PermanentError as error:
        if status_of(error) not in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN):
            raise
        _explain(bucket, arguments)


def _explain(bucket: Bucket, arguments: Arguments) -> None:
    """Ask what has an answer in words; the one to a HEAD has none."""
    try:
        bucket.ask("list_objects_v2", MaxKeys=1, **arguments.of_any)
    except PermanentError as error:
        if status_of(error) != HTTPStatus.FORBIDDEN:
            raise
