"""Read and write HTTP/1.1 by the message, without changing a byte.

- Bytes are passed on as they came: a signature covers the head, and a server sees the client's own
  framing. Only enough is understood to know where a message ends (RFC 9112, section 6).
- Whatever way a peer goes, `PeerGoneError` says so: a caller has one thing to expect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

#: Bytes. What asyncio reads from a socket at once; smaller pieces cost throughput.
PIECE = 256 * 1024

#: Seconds between two looks whether a peer that is not read from has left.
LEFT_INTERVAL = 0.02

#: On, for 0 seconds: closing throws away what is unsent and sends RST.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)

#: linux/include/net/tcp_states.h
_TCP_ESTABLISHED = 1


class PeerGoneError(Exception):
    """The peer closed or reset the connection before a message was complete."""


@dataclass(frozen=True)
class Head:
    """A message's start line, in three, and its headers with names in lower case."""

    raw: bytes
    start: tuple[str, str, str]
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        """Whether the body's end is told by its chunks."""
        return self.headers.get("transfer-encoding", "").lower().endswith("chunked")

    @property
    def length(self) -> int | None:
        """The body's length in bytes, if it is told."""
        return int(self.headers["content-length"]) if "content-length" in self.headers else None

    @property
    def closes(self) -> bool:
        """Whether the sender ends the connection after this message."""
        said = self.headers.get("connection", "").lower()
        return "close" in said or ("HTTP/1.0" in self.start and "keep-alive" not in said)


class Peer:
    """One end of a connection: a client, or the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=PIECE)
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    async def reach(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Peer:
        """Connect.

        Raises:
            PeerGoneError: nobody listens there.
        """
        with _going():
            return cls(*await asyncio.open_connection(host, port, limit=PIECE, ssl=tls))

    @property
    def usable(self) -> bool:
        """Whether it has neither left nor been left, as far as is known."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    async def read_head(self) -> Head | None:
        """Read the head of a message, None if the peer left instead of beginning one."""
        try:
            with _going():
                raw = await self._reader.readuntil(b"\r\n\r\n")
        except PeerGoneError as gone:
            cause = gone.__cause__
            if isinstance(cause, asyncio.IncompleteReadError) and not cause.partial:
                return None
            raise
        return _parse(raw)

    async def read_sized(self, length: int) -> AsyncIterator[bytes]:
        """Read so many bytes, in pieces."""
        while length:
            with _going():
                piece = await self._reader.read(min(PIECE, length))
            if not piece:
                raise PeerGoneError
            length -= len(piece)
            yield piece

    async def read_chunked(self) -> AsyncIterator[tuple[bytes, int]]:
        """Read a chunked body: bytes as they came, and how many of them are content."""
        line = await self._read_line()
        while size := int(line.split(b";")[0], 16):
            yield line, 0
            async for piece in self.read_sized(size):
                yield piece, len(piece)
            yield await self._read_line(), 0
            line = await self._read_line()
        while line != b"\r\n":  # the last chunk's size, then trailers
            yield line, 0
            line = await self._read_line()
        yield line, 0

    async def read_rest(self) -> AsyncIterator[bytes]:
        """Read until the peer closes."""
        while True:
            with _going():
                piece = await self._reader.read(PIECE)
            if not piece:
                return
            yield piece

    async def send(self, data: bytes) -> None:
        """Send, not faster than the peer takes it."""
        with _going():
            self._writer.write(data)
            await self._writer.drain()

    async def left(self) -> None:
        """Wait until the peer closes or resets, without reading.

        A peer whose sending is blocked cannot tell that it closed: that is seen only if it resets.
        """
        while not self._writer.is_closing() and self._established():  # noqa: ASYNC110
            await asyncio.sleep(LEFT_INTERVAL)  # the kernel tells it only when asked

    def reset(self) -> None:
        """Send RST: what the peer reads or writes next is an error."""
        with contextlib.suppress(OSError):  # it was quicker
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._writer.transport.abort()

    def abort(self) -> None:
        """Close; what is not sent yet never is."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close once all is sent; if cancelled before that, at once."""
        self._writer.close()
        try:
            with contextlib.suppress(OSError):  # it left first
                await self._writer.wait_closed()
        except asyncio.CancelledError:
            self.abort()
            raise

    async def _read_line(self) -> bytes:
        with _going():
            return await self._reader.readuntil(b"\r\n")

    def _established(self) -> bool:
        info = self._socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] == _TCP_ESTABLISHED

    def _socket(self) -> socket.socket:
        got: socket.socket = self._writer.get_extra_info("socket")
        return got


class Upstream:
    """The connection to the server that goes with one of a client's: opened when it is needed."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._address = (host, port, tls)
        self._peer: Peer | None = None

    async def peer(self) -> Peer:
        """Return the open connection, or a new one if there is none or the server has left it."""
        if self._peer is None or not self._peer.usable:
            self.abort()
            self._peer = await Peer.reach(*self._address)
        return self._peer

    def abort(self) -> None:
        """Close it, whatever is going on."""
        if self._peer:
            self._peer.abort()


@contextlib.contextmanager
def _going() -> Iterator[None]:
    try:
        yield
    except (OSError, asyncio.IncompleteReadError) as gone:
        raise PeerGoneError from gone


def _parse(raw: bytes) -> Head:
    start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    first, second, third = [*start.split(" ", 2), ""][:3]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        headers[name] = ", ".join(filter(None, (headers.get(name), value.strip())))
    return Head(raw, (first, second, third), headers)
