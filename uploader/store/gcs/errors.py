"""Classify what Google Cloud Storage can answer; once, here.

Statuses and reasons are those of "HTTP status and error codes for JSON" of its documentation, and
of "Resumable uploads", "Error handling".
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus

from uploader.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    ThrottledError,
    TransientError,
)
from uploader.store.http.refused import EndOfObjectError, RefusedError, passes

#: Reasons that go over the status: a 403 or a 503 can mean that there were too many requests.
_BY_REASON: dict[str, type[StoreError]] = {
    **dict.fromkeys(
        [
            "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded",
            "tooManyRequests", "usageLimits", "concurrentLimitExceeded",
        ],
        ThrottledError,
    ),
    **dict.fromkeys(["authError", "expired", "required_login", "loginRequired"], AuthError),
    "conditionNotMet": ConflictError,
    "requestedRangeNotSatisfiable": EndOfObjectError,
}  # fmt: skip

_BY_STATUS: dict[int, type[StoreError]] = {
    HTTPStatus.UNAUTHORIZED: AuthError,
    HTTPStatus.TOO_MANY_REQUESTS: ThrottledError,
    HTTPStatus.PRECONDITION_FAILED: ConflictError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.GONE: SessionLostError,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: EndOfObjectError,
}
MESSAGE, WORD = 1000, 100  #: characters of an answer that are kept: they are stored, and shown
CANCELLED = 499  #: what the cancelling of a session is answered with: success

#: What a role must be allowed, by operation; see "IAM permissions for JSON methods".
_PERMISSIONS = {
    "insert": "storage.objects.create, and storage.objects.delete to overwrite",
    "resumable": "storage.objects.create, and storage.objects.delete to overwrite",
    "part": "storage.objects.create, and storage.objects.delete to overwrite",
    "status": "storage.objects.create",
    "cancel": "storage.objects.create",
    "get": "storage.objects.get, and storage.objects.list to tell what is missing",
    "list": "storage.objects.list",
    "delete": "storage.objects.delete",
    "rewrite": "storage.objects.get and storage.objects.create",
    "compose": "storage.objects.get and storage.objects.create",
}

_OF_A_SESSION = frozenset(["part", "status", "cancel"])
_OF_A_CHECKSUM = re.compile(r"crc32c|md5", re.IGNORECASE)
_NO_BUCKET = re.compile(r"bucket does not exist", re.IGNORECASE)

_NO_PROJECT = re.compile(r"no user project", re.IGNORECASE)  #: its reason is but "required"

_HINTS = {
    "authError": "renew the credentials: the upload goes on by itself",
}


#: What makes the URI of a session a secret.
_SECRET = re.compile(r"upload_id=([^&\s'\")]+)")


def without_secrets(text: str, *uris: str) -> str:
    """Return a text by which nobody can write to a session; `uris` are those it may repeat."""
    for uri in uris:
        for secret in _SECRET.findall(uri):
            text = text.replace(secret, "...")
    return _SECRET.sub("upload_id=...", text)


def refused(status: int, body: bytes, url: str = "") -> RefusedError:
    """Return what the answer to a request of `url` says; its body is JSON, mostly."""
    reason = message = ""
    try:
        error = json.loads(body)["error"]
        message = str(error.get("message", ""))
        reason = str(error["errors"][0].get("reason", ""))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        message = message or body[:200].decode("utf-8", "replace").strip()
    reason = without_secrets(reason, url)
    return RefusedError(status, reason[:WORD], without_secrets(message, url)[:MESSAGE])


def of_refusal(operation: str, what: str, error: RefusedError) -> StoreError:
    """Return what a service's refusal means."""
    kind = _kind_of(operation, error)
    message = f"{operation} of {what}: {error.code}"
    if error.message and error.message != error.code:
        message += f": {error.message.rstrip('. ')}"
    if error.code in _HINTS:
        message += f"; {_HINTS[error.code]}"
    elif error.status == HTTPStatus.FORBIDDEN and kind is PermanentError:
        message += f"; allow {_PERMISSIONS.get(operation, operation)}"
    elif kind is PermanentError and _NO_BUCKET.search(error.message):
        message += "; make the bucket, or correct the destination"
    elif _NO_PROJECT.search(error.message):
        message += "; name the project that is billed: --user-project"
    return kind(message)


def is_digest(error: StoreError) -> bool:
    """Tell whether the service found that the bytes do not have the checksum that was sent."""
    cause = error.__cause__
    return isinstance(cause, RefusedError) and _of_digest(cause)


def _kind_of(operation: str, error: RefusedError) -> type[StoreError]:
    if operation in _OF_A_SESSION and error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return SessionLostError
    if _of_digest(error):
        # The bytes were checked as they were read: what differs there was damaged on the way. In a
        # session they are what it will be made of; only a new one helps.
        return SessionLostError if operation in _OF_A_SESSION else TransientError
    if _NO_BUCKET.search(error.message):
        return PermanentError
    kind = _BY_REASON.get(error.code) or _BY_STATUS.get(error.status)
    if kind:
        return kind
    return TransientError if passes(error.status) else PermanentError


def _of_digest(error: RefusedError) -> bool:
    told = error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED)
    return told and bool(_OF_A_CHECKSUM.search(error.message))
