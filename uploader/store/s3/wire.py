"""Send what is frequent by a shorter way than the SDK's request pipeline.

- Where the bucket is, in which region, and with whose credentials is botocore's to say (`way.py`);
  the credentials are asked for at each request, so that they are refreshed.
- One request at a time on a kept-alive connection; others are opened when threads ask at once.
- An answer that is not plain success or refusal (a redirect, another region) is the SDK's to deal
  with: the caller goes that way.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import termios
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from uploader.errors import AuthError
from uploader.store.s3.reply import Answer, read_answer
from uploader.store.s3.signing import Signer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from uploader.place import Way
    from uploader.store.s3.signing import Keys

PORTION = 64 << 10  #: bytes given to the socket at a time; each may take the stall timeout
RECEIVED = 16 << 10  #: bytes of an answer read at a time
CONNECT_TIMEOUT = 10.0  #: seconds
_SAFE = "/~"  #: in a key, what is not percent-encoded; as botocore does it


class Wire:
    """Connections to one bucket."""

    def __init__(self, way: Way, keys: Callable[[], Keys], timeout: float) -> None:
        """Prepare; nothing is connected yet.

        Raises:
            AuthError: the certificates cannot be read.
        """
        parts = urlsplit(way.url)
        self._signer = Signer(way.region, way.service)
        self._keys = keys
        self._timeout = timeout
        self._host, self._path = parts.netloc, parts.path
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._address = (str(parts.hostname), port)
        self._tls = _trusting(way.certificates) if parts.scheme == "https" else None
        self._idle: list[socket.socket] = []

    def request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
    ) -> Answer:
        """Make a request; `headers` has the content-length of a body, no key means the bucket.

        Raises:
            OSError: on the way.
            StoreError: of the body, whose end was then not sent.
        """
        path = self._path + quote(key, safe=_SAFE) if key else self._path.rstrip("/") or "/"
        text = "&".join(
            f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items())
        )
        signed = self._signer.signed(
            method, path, text, {**headers, "host": self._host}, self._keys()
        )
        head = f"{method} {path}{'?' if text else ''}{text} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return self._exchange(method, f"{head}\r\n".encode(), body)

    def close(self) -> None:
        """Let go of all connections."""
        while connection := self._taken():
            connection.close()

    def _exchange(self, method: str, head: bytes, body: Iterable[bytes]) -> Answer:
        connection = self._connected()
        try:
            broken = _send(connection, head, body)
            try:
                answer, keeps = read_answer(_patiently(connection), method)
            except OSError:
                if broken:
                    raise broken from None
                raise
        except BaseException:
            connection.close()
            raise
        if keeps and not broken:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _connected(self) -> socket.socket:
        while connection := self._taken():
            if not _is_closed(connection):
                return connection
            connection.close()
        plain = socket.create_connection(self._address, min(CONNECT_TIMEOUT, self._timeout))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.settimeout(self._timeout)
        if self._tls is None:
            return plain
        return self._tls.wrap_socket(plain, server_hostname=self._address[0])

    def _taken(self) -> socket.socket | None:
        """Take a connection that nobody uses; threads may ask at once."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _send(connection: socket.socket, head: bytes, body: Iterable[bytes]) -> OSError | None:
    """Send a request; return the error if the other side stopped reading: it may have answered."""
    waiting = head
    try:
        for chunk in body:
            if waiting and len(chunk) <= PORTION:  # a small request leaves in one piece
                connection.sendall(waiting + chunk)
                waiting = b""
                continue
            if waiting:
                connection.sendall(waiting)
                waiting = b""
            view = memoryview(chunk)
            for at in range(0, len(chunk), PORTION):
                connection.sendall(view[at : at + PORTION])
        if waiting:
            connection.sendall(waiting)
    except (BrokenPipeError, ConnectionResetError) as error:
        return error
    return None


def _patiently(connection: socket.socket) -> Callable[[], bytes]:
    """Return how to receive, for as long as what was sent still leaves this machine.

    The kernel takes some MiB at once, and a slow line may carry them for longer than any answer is
    waited for.
    """
    queued = _queued(connection)

    def receive() -> bytes:
        nonlocal queued
        while True:
            try:
                return connection.recv(RECEIVED)
            except TimeoutError:
                before, queued = queued, _queued(connection)
                if queued in (0, before):
                    raise

    return receive


def _queued(connection: socket.socket) -> int:
    """Return the bytes that the other side has not acknowledged (SIOCOUTQ of tcp(7))."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side ended an idle connection, or sent what nobody asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _trusting(certificates: str) -> ssl.SSLContext:
    import ssl  # 0.02 s, for nothing without TLS

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    kind = "capath" if os.path.isdir(certificates) else "cafile"
    try:
        context.load_verify_locations(**{kind: certificates})
    except OSError as error:
        msg = f"cannot use the certificates in {certificates}: {error}; correct --ca-bundle"
        raise AuthError(msg) from error
    return context
