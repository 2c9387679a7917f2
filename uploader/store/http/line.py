"""Carry bytes to a service and back, by TLS or not; what moves at all is not taken for dead.

- TLS is done in memory, a piece at a time, and each piece leaves in one call: a socket of Python's
  `ssl` makes one of every 16 KiB (`.github/decisions/` has the figures).
- A timeout counts from the last byte that moved, also of those that the kernel has taken already:
  it takes some MiB at once, and a slow line may carry them for longer than an answer is waited for.
- A service may answer before it has read all, and hang up. What it said is looked for after each
  piece, since the end of the connection can take it away.
"""

from __future__ import annotations

import fcntl
import select
import socket
import sys
import termios
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

T = TypeVar("T")
W = TypeVar("W")

CONNECT_TIMEOUT = 10.0  #: seconds
ASKED_EVERY = 1.0  #: seconds between two looks at what the other side has taken: each costs
RECEIVED = 16 << 10  #: bytes of an answer read at a time

# glibc hands freed memory back to the system, and faults it in anew, until it saw a larger piece
# freed than those that are sent (mallopt(3), M_MMAP_THRESHOLD): a third of what TLS costs.
bytes(4 << 20)


class Line(Protocol):
    """A connection to a service."""

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: the other side hung up, or nothing moved for too long.
        """

    def receive(self) -> bytes:
        """Return what comes next; nothing when the other side has ended."""

    def is_quiet(self) -> bool:
        """Tell whether nothing came that was not received, neither bytes nor the end."""

    def close(self) -> None:
        """Hang up."""


def connect(address: tuple[str, int], timeout: float, tls: ssl.SSLContext | None) -> Line:
    """Return a line to a host and port, encrypted if it is said how.

    Raises:
        OSError: there is no way, or no trust.
    """
    plain = _Plain(address, timeout)
    if tls is None:
        return plain
    try:
        return _Encrypted(plain, tls, address[0])
    except BaseException:
        plain.close()
        raise


class _Plain:
    def __init__(self, address: tuple[str, int], timeout: float) -> None:
        self._socket = socket.create_connection(address, min(CONNECT_TIMEOUT, timeout))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.settimeout(timeout)
        self._timeout = timeout
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._queued, self._asked = 0, 0.0  #: bytes that were not taken yet, and when that was so

    def send(self, data: bytes) -> None:
        sent = self._patiently(self._socket.send, data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                sent += self._patiently(self._socket.send, view[sent:])

    def receive(self) -> bytes:
        return self._patiently(self._socket.recv, RECEIVED)

    def is_quiet(self) -> bool:
        return not self._poll.poll(0)

    def close(self) -> None:
        self._socket.close()

    def _patiently(self, move: Callable[[W], T], what: W) -> T:
        """Move bytes; a timeout is one only if nothing that was sent was taken meanwhile."""
        if (now := time.monotonic()) > self._asked + ASKED_EVERY:
            self._queued, self._asked = _queued(self._socket), now
        while True:
            try:
                return move(what)
            except TimeoutError:
                before, self._queued = self._queued, _queued(self._socket)
                if self._queued in (0, before):
                    msg = f"nothing moved for {self._timeout:.0f} s"
                    raise TimeoutError(msg) from None


class _Encrypted:
    def __init__(self, plain: _Plain, context: ssl.SSLContext, host: str) -> None:
        import ssl

        self._plain = plain
        self._came, self._leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._leaves, server_hostname=host)
        self._wants, self._ended = ssl.SSLWantReadError, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
        self._early = b""  #: decrypted, and not received yet
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._feed()
            else:
                break
        self._plain.send(self._leaves.read())

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._plain.send(self._leaves.read())

    def receive(self) -> bytes:
        early, self._early = self._early, b""
        while not early:
            try:
                return self._tls.read(RECEIVED)
            except self._wants:
                self._feed()
            except self._ended:
                return b""
        return early

    def is_quiet(self) -> bool:
        """As it says: what TLS itself has to say (a new session's ticket) does not count."""
        while not self._early and not self._plain.is_quiet():
            try:
                self._feed()
                self._early = self._tls.read(RECEIVED)
            except self._wants:
                continue
            except OSError:  # it ended, in whatever way
                return False
        return not self._early

    def close(self) -> None:
        self._plain.close()

    def _feed(self) -> None:
        """Give TLS what came, after it has said what it has to say."""
        if self._leaves.pending:
            self._plain.send(self._leaves.read())
        if data := self._plain.receive():
            self._came.write(data)
        else:
            self._came.write_eof()


def _queued(connection: socket.socket) -> int:
    """Return the bytes that the other side has not acknowledged (SIOCOUTQ of tcp(7))."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
