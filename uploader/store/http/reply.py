"""Read one HTTP answer, as RFC 9112 says, and know whether all of it came.

`http.client` takes an answer that ends inside its headers for a whole one, and reads headers as
e-mail; here an answer is whole or it is an error, and costs a tenth of that.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEAD_MAX = 64 << 10  #: bytes of a status line and headers
BODY_MAX = 1 << 20  #: bytes of a document; errors and completions have a few hundred
WIRE_MAX = 4 << 20  #: bytes of all of an answer, with what is around its chunks and before it
LENGTH_DIGITS = 18  #: of a content-length; Python itself refuses to read thousands
_UNSAFE = frozenset("\r\n\0")  #: what would go on in another header, where a value is sent back
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class NoHttpError(ConnectionError):
    """What came is no answer of HTTP, or not of a size that such a service answers with."""


class Answer(NamedTuple):
    """What a service said."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class _Arriving:
    """Bytes as they arrive; each is moved a few times at most, in whatever pieces they come."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._received = 0
        self._came = b""
        self._at = 0  #: what is before it was taken

    @property
    def is_empty(self) -> bool:
        """Whether all that came was taken."""
        return self._at == len(self._came)

    def more(self) -> None:
        data = self._receive()
        if not data:
            raise ConnectionError("no answer" if self.is_empty else "the answer was cut off")
        self._came, self._at = self._came[self._at :] + data, 0
        self._received += len(data)
        if self._received > WIRE_MAX:  # of chunks, trailers or 100 Continue there may be no end
            raise NoHttpError("the answer is too long")

    def until(self, end: bytes, most: int) -> bytes:
        """Take all up to `end`, which is taken too."""
        while (found := self._came.find(end, self._at)) < 0:
            if len(self._came) - self._at > most:
                raise NoHttpError("the answer is too long")
            self.more()
        taken, self._at = self._came[self._at : found], found + len(end)
        return taken

    def exactly(self, size: int) -> bytes:
        """Take so many bytes."""
        if not 0 <= size <= BODY_MAX:
            raise NoHttpError("the answer is too long")
        while len(self._came) - self._at < size:
            self.more()
        taken = self._came[self._at : self._at + size]
        self._at += size
        return taken


def read_answer(receive: Callable[[], bytes], method: str) -> tuple[Answer, bool]:
    """Return an answer, and whether the connection can be used for the next.

    Args:
        receive: returns the next bytes, some of them; none at the end of the connection.
        method: of the request: the answer to a HEAD has no body.

    Raises:
        OSError: no answer, one that was cut off, or none of HTTP.
    """
    arriving = _Arriving(receive)
    version, status, headers = _head(arriving.until(b"\r\n\r\n", HEAD_MAX))
    while status < HTTPStatus.OK:  # 100 Continue, and the like
        version, status, headers = _head(arriving.until(b"\r\n\r\n", HEAD_MAX))
    bodiless = method == "HEAD" or status in _BODILESS
    body = b"" if bodiless else _body(arriving, headers)
    keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Answer(status, headers, body), keeps and arriving.is_empty


def _head(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise NoHttpError(f"no answer of HTTP: {first[:80]!r}")
    headers = {}
    for line in lines:
        if not _UNSAFE.isdisjoint(line):  # "invalid and dangerous": RFC 9110, 5.5
            raise NoHttpError(f"no answer of HTTP: {line[:80]!r}")
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return version, int(rest[:3]), headers


def _body(arriving: _Arriving, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(arriving)
    size = headers.get("content-length", "")
    if not size.isdecimal():  # it would end with the connection, and so would one that was cut off
        raise ConnectionError("the answer was cut off")
    if len(size) > LENGTH_DIGITS:
        raise NoHttpError("the answer is too long")
    return arriving.exactly(int(size))


def _chunks(arriving: _Arriving) -> bytes:
    body = bytearray()
    while size := _number(arriving.until(b"\r\n", HEAD_MAX).partition(b";")[0]):
        body += arriving.exactly(min(size, BODY_MAX - len(body) + 1))
        if len(body) > BODY_MAX or arriving.exactly(2) != b"\r\n":
            raise NoHttpError("the answer is too long, or no answer of HTTP")
    while arriving.until(b"\r\n", HEAD_MAX):  # trailers
        pass
    return bytes(body)


def _number(digits: bytes) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        raise NoHttpError("no answer of HTTP") from None
