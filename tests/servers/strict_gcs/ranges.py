"""Read the headers that name bytes: `Content-Range` of an upload, `Range` of a download."""

from __future__ import annotations

import dataclasses
import re

from tests.servers.strict_gcs.errors import ApiError, invalid

_SENT = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")

_WANTED = re.compile(r"bytes=(\d*)-(\d*)")


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a request brings to a session: bytes `first` up to `end`, of `total`.

    `end` is None for all there is, `total` where it is not told. `status` brings none.
    """

    first: int = 0
    end: int | None = None
    total: int | None = None
    status: bool = False


def sent_range(text: str | None, length: int | None) -> Sent:
    """Read `Content-Range`, and hold it against the body's length.

    Raises:
        ApiError: 400, it makes no sense, or the body has another length.
    """
    if text is None:
        return Sent(end=length, total=length)
    match = _SENT.fullmatch(text)
    if match is None:
        raise invalid(f"Failed to parse Content-Range header: {text}")
    first, last, total = match.groups()
    whole = None if total == "*" else int(total)
    if first is None:
        if length:
            raise invalid("A status query has no body")
        return Sent(total=whole, status=True)
    end = int(last) + 1
    if end <= int(first):
        raise invalid(f"Invalid Content-Range: {text}")
    if length is not None and length != end - int(first):
        raise invalid(f"Content-Range {text} does not agree with Content-Length {length}")
    return Sent(int(first), end, whole)


def wanted_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Read `Range`: the first byte and how many; None for the whole, also where it is not readable.

    Raises:
        ApiError: 416, none of it is there.
    """
    match = _WANTED.fullmatch(text or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        told = {"Content-Range": f"bytes */{size}"}
        raise ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", told)
    return start, end - start
