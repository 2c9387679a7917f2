"""Look after uploads in parts: what they hold, and how they are got rid of.

Parts of an upload that is never completed are kept, and charged for, until it is aborted; they show
in no listing of objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.errors import PermanentError, SessionLostError, TransientError
from uploader.model import SentPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.store.s3.arguments import Arguments
    from uploader.store.s3.bucket import Bucket

#: Times at most: a part that was on its way can arrive after an abort, which is then repeated.
ABORTS = 5


def parts_of(bucket: Bucket, key: str, session: str, arguments: Arguments) -> set[SentPart]:
    """Return the parts that the service has.

    Raises:
        SessionLostError: it does not know the session.
    """
    pages = bucket.pages("list_parts", Key=key, UploadId=session, **arguments.of_any)
    return {
        SentPart(part["PartNumber"], part["Size"], part["ETag"].strip('"'))
        for page in pages
        for part in page.get("Parts", [])
    }


def abort(bucket: Bucket, key: str, session: str, arguments: Arguments) -> None:
    """Remove a session and its parts; one that is gone is success.

    Raises:
        TransientError: parts keep coming.
    """
    for _ in range(ABORTS):
        try:
            bucket.ask("abort_multipart_upload", key, UploadId=session, **arguments.of_any)
            if not _may_hold_parts(bucket, key, session, arguments):
                return
        except SessionLostError:
            return
    msg = f"{bucket.url(key)}: parts of an aborted upload keep arriving; run uploader gc later"
    raise TransientError(msg)


def abort_empty(bucket: Bucket, key: str, arguments: Arguments) -> None:
    """Remove the sessions of exactly this key that hold no part."""
    for found in _sessions(bucket, key, arguments):
        if found["Key"] == key:
            session = found["UploadId"]
            try:
                empty = not parts_of(bucket, key, session, arguments)
            except SessionLostError:
                continue
            if empty:
                abort(bucket, key, session, arguments)


def sweep(
    bucket: Bucket, prefix: str, keep: set[str], older_than: float, arguments: Arguments
) -> list[str]:
    """Remove the sessions below a prefix that began more than `older_than` seconds ago.

    Returns what was removed, for people to read.
    """
    swept = []
    for found in list(_sessions(bucket, prefix, arguments)):
        age = clock.now() - found["Initiated"].timestamp()
        if found["UploadId"] not in keep and age >= older_than:
            abort(bucket, found["Key"], found["UploadId"], arguments)
            swept.append(
                f"{bucket.url(found['Key'])} (parts of an upload that began {age:.0f} s ago)"
            )
    return swept


def _may_hold_parts(bucket: Bucket, key: str, session: str, arguments: Arguments) -> bool:
    try:
        return bool(parts_of(bucket, key, session, arguments))
    except PermanentError:  # not allowed to look: the abort itself was answered well
        return False


def _sessions(bucket: Bucket, prefix: str, arguments: Arguments) -> Iterator[dict[str, Any]]:
    try:
        for page in bucket.pages("list_multipart_uploads", Prefix=prefix, **arguments.of_any):
            yield from page.get("Uploads", [])
    except PermanentError as error:
        raise type(error)(f"cannot look for unfinished uploads: {error}") from error
