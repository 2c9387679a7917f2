"""Tell what a request of GCS's JSON API is, and refuse one as GCS does.

- The name of an upload, and metadata, come in a resource at the beginning of the body: `resource`
  reads it, so the proxy has to take a little of the body before it decides on a request.
- A request of a session names nothing but the session: whoever saw it begin knows the name.
- Source: "Cloud Storage JSON API overview", "Resumable uploads", "HTTP status and error codes for
  JSON" of its documentation.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.kinds import Kind, Refusal, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How its paths begin. A bucket of S3 named `storage` or `upload` would be mistaken for it.
PATHS = ("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/batch/storage/v1")

#: Status and reason.
REFUSALS = {
    Refusal.INTERNAL: (503, "backendError"),
    Refusal.THROTTLED: (429, "rateLimitExceeded"),
    Refusal.EXPIRED: (401, "authError"),
    Refusal.DENIED: (403, "forbidden"),
}

#: (method, the path after the version without names, `alt=media` or not) -> kind.
_KINDS = {
    ("GET", "b", ""): Kind.LIST_BUCKETS,
    ("POST", "b", ""): Kind.CREATE_BUCKET,
    ("GET", "b/*", ""): Kind.HEAD_BUCKET,
    ("DELETE", "b/*", ""): Kind.DELETE_BUCKET,
    ("GET", "b/*/iam/*", ""): Kind.PERMISSIONS,
    ("GET", "b/*/o", ""): Kind.LIST,
    ("GET", "b/*/o/*", ""): Kind.HEAD,
    ("GET", "b/*/o/*", "media"): Kind.READ,
    ("PATCH", "b/*/o/*", ""): Kind.PATCH,
    ("DELETE", "b/*/o/*", ""): Kind.DELETE,
    ("POST", "b/*/o/*/compose", ""): Kind.COMPOSE,
    ("POST", "b/*/o/*/rewriteTo", ""): Kind.COPY,
    ("POST", "b/*/o/*/copyTo", ""): Kind.COPY,
}

#: Where names of objects stand in b/BUCKET/o/NAME/rewriteTo/b/BUCKET/o/COPY.
_KEY, _COPY = 3, 8

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def told(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Told:
    """Read a request's head; `path` is as it came, `query` and the headers' names are decoded."""
    if path.startswith("/batch/"):
        return Told(Kind.DELETE_MANY, "", "")
    room, _, rest = path.partition("storage/v1/")
    names = [unquote(name) for name in rest.split("/")]
    bucket = names[1] if len(names) > 1 else ""
    if room == "/upload/":
        return _of_upload(method, bucket, query, headers)
    key = names[_KEY] if names[2:_KEY] == ["o"] and len(names) > _KEY else ""
    shape = "/".join("*" if place in {1, _KEY} else name for place, name in enumerate(names[:5]))
    media = "media" if query.get("alt") == "media" else ""
    kind = _KINDS.get((method, shape, media), Kind.OTHER)
    copied = kind is Kind.COPY and len(names) > _COPY
    return Told(kind, bucket, names[_COPY] if copied else key)


def error(status: int, reason: str, number: int) -> tuple[list[str], bytes]:
    """Return the headers and the body of an error."""
    message = f"{reason}, says the proxy (request {number})."
    one = {"message": message, "domain": "global", "reason": reason}
    body = {"error": {"code": status, "message": message, "errors": [one]}}
    return ["Content-Type: application/json; charset=UTF-8"], json.dumps(body).encode()


def tells_more(kind: Kind, headers: Mapping[str, str]) -> bool:
    """Tell whether the body begins with a resource that names what the head does not."""
    content = headers.get("content-type", "")
    return kind in {Kind.PUT, Kind.BEGIN, Kind.COPY, Kind.COMPOSE} and content.startswith(
        ("application/json", "multipart/related")
    )


def resource(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return the resource at the beginning of a body, None if more of the body is needed."""
    kind, _, parameters = headers.get("content-type", "").partition(";")
    if kind == "multipart/related":
        boundary = parameters.partition("boundary=")[2].partition(";")[0].strip().strip("\"'")
        _, found, body = body.partition(b"\r\n\r\n")
        body, end, _ = body.partition(b"\r\n--" + boundary.encode())
        if not (found and end):
            return None
    try:
        read = json.loads(body)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def session_in(location: str) -> str:
    """Return the session that the `Location` of an answer leads to."""
    return dict(parse_qsl(urlsplit(location).query)).get("upload_id", "")


def _of_upload(
    method: str, bucket: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> Told:
    session, key = query.get("upload_id", ""), query.get("name", "")
    if not session:
        kind = {"resumable": Kind.BEGIN, "multipart": Kind.PUT, "media": Kind.PUT}
        known = kind.get(query.get("uploadType", "")) if method == "POST" else None
        return Told(known or Kind.OTHER, bucket, key)
    if method == "DELETE":
        return Told(Kind.ABORT, bucket, key, session=session)
    first, last, total = _range(headers.get("content-range", ""))
    if method != "PUT" or (first is None and total is not None):
        return Told(Kind.STATUS if method == "PUT" else Kind.OTHER, bucket, key, session=session)
    whole = first is None or (last is not None and last + 1 == total)
    return Told(Kind.COMPLETE if whole else Kind.PART, bucket, key, first or 0, session)


def _range(text: str) -> tuple[int | None, int | None, int | None]:
    """Return first and last byte, and -1 for a total that is not known yet; None for no range."""
    found = _RANGE.fullmatch(text)
    if not found:
        return None, None, None
    first, last, total = found.groups()
    ends = (int(first), int(last)) if first else (None, None)
    return *ends, -1 if total == "*" else int(total)
