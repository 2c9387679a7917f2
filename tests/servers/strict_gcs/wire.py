"""Read HTTP/1.1 requests from a connection, and send answers; bodies in large pieces.

- A body is never held whole: whoever handles the request takes it piece by piece.
- A body that was not taken is read away before the answer, so that the connection serves the next
  request; one that breaks off ends the connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http
import io
import os
import socket
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import parse_qs, parse_qsl, unquote

from tests.servers.strict_gcs.errors import BrokenOffError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes. A piece of a body: with 1 MiB four connections at once are five times slower, for the
#: memory that each turn takes and gives back.
PIECE = 256 * 1024

#: Bytes of a connection's own buffer: heads, and small requests whole.
_BUFFER = 64 * 1024

#: What the standard library does not call as GCS does.
_PHRASES = {308: "Resume Incomplete", 499: "Client Closed Request"}


class Incoming(Protocol):
    """Bytes that come; `length` is how many there are at most, None if that is not known."""

    length: int | None

    def pieces(self) -> Iterator[memoryview]:
        """Read what is left; each piece is valid until the next."""

    def require_whole(self) -> None:
        """Raise BrokenOffError if it broke off."""


class Body:
    """What follows a request's head; `length` is None where it comes in chunks."""

    def __init__(self, file: io.BufferedIOBase, length: int | None) -> None:
        self.length = length
        self.received = 0
        self.broken = False
        self._file = file
        self._left = length or 0
        self._more_chunks = length is None

    @property
    def left(self) -> int:
        """How much of a body of known length is to come."""
        return self._left

    def fill(self, view: memoryview) -> int:
        """Read until the view is full, or the body is over, or broke off: then `broken` is set."""
        count = 0
        while count < len(view) and (read := self._some(view[count:])):
            count += read
        self.received += count
        return count

    def pieces(self, limit: int | None = None) -> Iterator[memoryview]:
        """Read what is left, or no more than the limit; all but the last piece have PIECE bytes."""
        limit = limit if self.length is None else min(self._left, limit or self._left)
        view = memoryview(bytearray(PIECE if limit is None else min(PIECE, limit)))
        taken = 0
        while count := self.fill(view[: len(view) if limit is None else limit - taken]):
            yield view[:count]
            taken += count

    def line(self) -> bytes:
        """Read a line of a body of known length; without an end of line if it is over."""
        line = self._file.readline(self._left)
        self.broken = not line and self._left > 0
        self._left -= len(line)
        self.received += len(line)
        return line

    def read(self) -> bytes:
        """Read what is left into memory.

        Raises:
            BrokenOffError: it broke off.
        """
        whole = b"".join(bytes(piece) for piece in self.pieces())
        self.require_whole()
        return whole

    def require_whole(self) -> None:
        """Raise BrokenOffError if it broke off."""
        if self.broken:
            raise BrokenOffError

    def _some(self, view: memoryview) -> int:
        try:
            if self._left == 0 and self._more_chunks:
                self._begin_chunk()
            if self._left == 0:
                return 0
            read = self._file.readinto1(view[: self._left])
            self.broken = read == 0
            self._left -= read
            if self._left == 0 and self.length is None:
                self._file.readline()
        except (OSError, ValueError):
            self.broken = True
            return 0
        return read

    def _begin_chunk(self) -> None:
        self._left = int(self._file.readline().split(b";")[0], 16)
        if self._left == 0:
            self._more_chunks = False
            while self._file.readline() not in {b"\r\n", b""}:
                pass


@dataclasses.dataclass
class Request:
    """One request. `path` is its segments, each decoded by itself; header names are lower case."""

    method: str
    path: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: Body
    parameters: str = ""

    def repeated(self, name: str) -> list[str]:
        """Return every value of a parameter of the query; `query` has the last."""
        return parse_qs(self.parameters).get(name, [])


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Some bytes of an open file."""

    descriptor: int
    start: int
    size: int


@dataclasses.dataclass
class Answer:
    """What is sent back: bytes, or stretches of files, which are closed when they are sent."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    stretches: list[Stretch] = dataclasses.field(default_factory=list)

    def length(self) -> int:
        """Count the body."""
        return len(self.body) + sum(stretch.size for stretch in self.stretches)


class Connection:
    """One client's connection."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._file = cast("io.BufferedIOBase", connected.makefile("rb", _BUFFER))

    def next_request(self) -> Request | None:
        """Read a head; None when the client is done."""
        line = self._file.readline()
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split()
        headers = self._headers()
        if headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        path, _, query = target.partition("?")
        return Request(
            method,
            [unquote(segment) for segment in path.split("/")[1:]],
            dict(parse_qsl(query, keep_blank_values=True)),
            headers,
            Body(self._file, _length_of(headers)),
            query,
        )

    def send(self, request: Request, answer: Answer) -> None:
        """Send an answer, once the request's body is out of the way.

        Raises:
            BrokenOffError: the body is not all there, so where the next request begins is unknown.
        """
        try:
            for _ in request.body.pieces():
                pass
            request.body.require_whole()
            self._socket.sendall(_head_of(answer) + answer.body)
            for stretch in answer.stretches:
                self._send_stretch(stretch)
        finally:
            for stretch in answer.stretches:
                os.close(stretch.descriptor)

    def close(self) -> None:
        """Let the client go."""
        with contextlib.suppress(OSError):
            self._file.close()
            self._socket.close()

    def _headers(self) -> dict[str, str]:
        headers = {}
        while (line := self._file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _send_stretch(self, stretch: Stretch) -> None:
        with open(stretch.descriptor, "rb", closefd=False) as file:
            self._socket.sendfile(file, stretch.start, stretch.size)


def _length_of(headers: dict[str, str]) -> int | None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return None
    return int(headers.get("content-length", 0))


def _head_of(answer: Answer) -> bytes:
    phrase = _PHRASES.get(answer.status) or http.HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.status not in {204, 304}:
        lines.append(f"Content-Length: {answer.length()}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
