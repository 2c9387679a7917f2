"""Send what is frequent (put, part, head) by a shorter way than the SDK's request pipeline.

- Where the bucket is, in which region, and with whose credentials is botocore's to say: asked once,
  the credentials at each request, so that they are refreshed.
- One request at a time on a kept-alive connection; others are opened when threads ask at once.
- An answer that is not plain success or refusal (a redirect, another region) is the SDK's to deal
  with: `of` and `request` say so, and the caller goes that way.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import ssl
import sys
import termios
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from uploader.store.s3.signing import Keys, Signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROBE_KEY = "key"  #: of the URL that is asked for to learn where the bucket is
PORTION = 64 << 10  #: bytes given to the socket at a time; each may take the stall timeout
CONNECT_TIMEOUT = 10.0  #: seconds
_SAFE = "/~"  #: in a key, what is not percent-encoded; as botocore does it


class Answer(NamedTuple):
    """What a service said."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class Wire:
    """Connections to one bucket."""

    def __init__(
        self, url: str, credentials: Any, timeout: float, certificates: str | None
    ) -> None:
        """Prepare; `url` is a presigned one of the bucket's object `PROBE_KEY`."""
        parts = urlsplit(url)
        _, _, region, service, _ = parse_qs(parts.query)["X-Amz-Credential"][0].rsplit("/", 4)
        self._signer = Signer(region, service)
        self._credentials = credentials
        self._timeout = timeout
        self._host, self._path = parts.netloc, parts.path.removesuffix(PROBE_KEY)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._address = (str(parts.hostname), port)
        self._tls = _context(certificates) if parts.scheme == "https" else None
        self._idle: list[socket.socket] = []

    @classmethod
    def of(
        cls, client: Any, credentials: Any, bucket: str, timeout: float, certificates: str | None
    ) -> Wire | None:
        """Return a way to a bucket; None where only the SDK knows the way."""
        if credentials is None or bucket.startswith("arn:") or bucket.endswith("--x-s3"):
            return None
        parameters = {"Bucket": bucket, "Key": PROBE_KEY}
        url = client.generate_presigned_url("put_object", Params=parameters)
        if "X-Amz-Credential" not in url or get_environ_proxies(url):
            return None
        return cls(url, credentials, timeout, certificates)

    def request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
    ) -> Answer:
        """Make a request; `headers` has the content-length of a body.

        Raises:
            OSError, http.client.HTTPException: on the way.
            StoreError: of the body, whose end was then not sent.
        """
        now = self._credentials.get_frozen_credentials()
        keys = Keys(now.access_key, now.secret_key, now.token)
        path = self._path + quote(key, safe=_SAFE)
        text = "&".join(
            f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items())
        )
        signed = self._signer.signed(method, path, text, {**headers, "host": self._host}, keys)
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
            _wait(connection, self._timeout)
            answer, keeps = _answer(connection, method, broken)
        except BaseException:
            connection.close()
            raise
        if keeps:
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


def _wait(connection: socket.socket, timeout: float) -> None:
    """Wait for an answer for as long as what was sent still leaves this machine.

    The kernel takes some MiB at once, and a slow line may carry them for longer than any answer is
    waited for.

    Raises:
        TimeoutError: nothing moved for `timeout` seconds.
    """
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    queued = _queued(connection)
    while not poll.poll(timeout * 1000):
        before, queued = queued, _queued(connection)
        if queued in (0, before):
            msg = f"no answer for {timeout:.0f} s"
            raise TimeoutError(msg)


def _queued(connection: socket.socket) -> int:
    """Return the bytes that the other side has not acknowledged (SIOCOUTQ of tcp(7))."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _answer(connection: socket.socket, method: str, broken: OSError | None) -> tuple[Answer, bool]:
    """Return an answer, and whether the connection can be used again.

    One that ends inside its headers passes for a whole one in `http.client`: to it the end of the
    connection is the end of the headers. Then the length of a body is missing; a HEAD has no body,
    and there the connection has ended although nobody said so.
    """
    with HTTPResponse(connection, method=method) as response:
        try:
            response.begin()
        except (OSError, ValueError):
            raise broken or ConnectionError("no answer") from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        cut_off = response.length is None and not response.chunked
        answer = Answer(response.status, headers, response.read())
        keeps = not response.will_close and not broken
    if cut_off or (keeps and method == "HEAD" and _is_closed(connection)):
        raise ConnectionError("the answer was cut off")
    return answer, keeps


def _is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side ended an idle connection, or sent what nobody asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _context(certificates: str | None) -> ssl.SSLContext:
    path = get_cert_path(certificates or True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
    return context
