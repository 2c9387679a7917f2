"""Take a multipart/related body apart: an object's resource, then its media.

- The media is not looked through for the boundary: it ends where the body does, less the boundary
  that closes it, which is checked when the media has been read to its end.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs.errors import invalid
from tests.servers.strict_gcs.service import read_json
from tests.servers.strict_gcs.wire import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.strict_gcs.wire import Request

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))')

_TYPE = re.compile(r"^content-type:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)

#: Bytes of a resource: far more than any has.
_RESOURCE_LIMIT = 1024 * 1024


def parts_of(request: Request) -> tuple[dict[str, Any], Media]:
    """Return the resource, its content type taken from the media's if it has none, and the media.

    Raises:
        ApiError: 400, the body is not made so.
        BrokenOffError: it broke off before the media.
    """
    match = _BOUNDARY.search(request.headers.get("content-type", ""))
    if match is None:
        raise invalid("Missing boundary in Content-Type", "badContent")
    boundary = b"--" + (match.group(1) or match.group(2)).encode()
    body = _sized(request.body)
    if body.line().rstrip() != boundary:
        raise invalid("The body does not begin with the boundary", "badContent")
    _head_of(body)
    resource = read_json(_part_of(body, boundary))
    kind = _TYPE.search(_head_of(body))
    body.require_whole()
    if kind:
        resource.setdefault("contentType", kind.group(1))
    return resource, Media(body, b"\r\n" + boundary + b"--")


class Media:
    """The part that is the object's bytes."""

    def __init__(self, body: Body, closing: bytes) -> None:
        self.length: int | None = body.left
        self._body = body
        self._closing = closing

    def pieces(self) -> Iterator[memoryview]:
        """Read it; what might be the boundary that closes it is looked at last.

        Raises:
            ApiError: 400, nothing closes it.
        """
        # An end of line may follow the boundary.
        sure = self._body.left - len(self._closing) - 2
        if sure > 0:
            yield from self._body.pieces(sure)
        end = self._body.read()
        data, closed, rest = end.rpartition(self._closing)
        if not closed or rest not in {b"", b"\r\n"}:
            raise invalid("No boundary closes the media", "badContent")
        if data:
            yield memoryview(data)

    def require_whole(self) -> None:
        """Raise BrokenOffError if it broke off."""
        self._body.require_whole()


def _sized(body: Body) -> Body:
    """Return a body of known length: one that comes in chunks is read into memory."""
    if body.length is not None:
        return body
    whole = body.read()
    return Body(io.BufferedReader(io.BytesIO(whole)), len(whole))


def _head_of(body: Body) -> str:
    lines = []
    while line := body.line().strip():
        lines.append(line.decode("latin-1"))
    return "\n".join(lines)


def _part_of(body: Body, boundary: bytes) -> bytes:
    part = b""
    while (line := body.line()).rstrip() != boundary:
        part += line
        body.require_whole()
        if not line or len(part) > _RESOURCE_LIMIT:
            raise invalid("The resource does not end", "badContent")
    return part
