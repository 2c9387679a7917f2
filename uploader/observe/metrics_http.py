"""Answer scrapes from the supervisor's own loop, which is never kept waiting for a client.

- No thread, because the supervisor forks; no process beside it, because a scrape that is answered
  then says that the loop turns: one that hangs is seen as a target that is down.
- Nothing here waits. A slice takes what has come, and gives what the kernel takes, some twenty
  times a second at most.
- A client is somebody unknown: its request may be slow, endless, or nonsense. Bytes, seconds and
  clients are bounded, and the oldest client makes room for the newest.
- A port that is taken costs the metrics and no upload; it is tried again, since whoever has it may
  be an agent that is about to leave.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.observer import Load, Observer

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/metrics"
TURN = 0.02  #: seconds between slices; the loop may turn a thousand times as often
LISTEN_AGAIN = 10.0  #: seconds between attempts to get a port that was taken
CLIENTS = 32  #: connections that are kept; a Prometheus makes one a scrape
ACCEPTED = 8  #: connections that are taken in one slice
REQUEST = 8192  #: bytes of a request; Prometheus sends about 400
TIME_LIMIT = 10.0  #: seconds for all of an exchange; Prometheus gives up after as many

_log = logging.getLogger(__name__)


class Endpoint(Observer):
    """`http://HOST:PORT/metrics`, while this process does the work."""

    def __init__(self, host: str, port: int, respond: Callable[[str], tuple[bytes, str]]) -> None:
        """Prepare; it listens from the first turn of the loop on.

        Args:
            host: an address of this machine.
            port: 0 for any that is free.
            respond: returns the body and its content type for the text of an Accept header.
        """
        self._host, self._port, self._respond = host, port, respond
        self._listener: socket.socket | None = None
        self._clients: list[_Client] = []
        self._turn_at = self._listen_at = 0.0
        self._complained = False

    @property
    def url(self) -> str | None:
        """Where it listens; None while it does not."""
        if self._listener is None:
            return None
        host, port, *_ = self._listener.getsockname()
        return f"http://[{host}]:{port}{PATH}" if ":" in host else f"http://{host}:{port}{PATH}"

    def tick(self, load: Load | None = None) -> None:
        """Do what can be done at once; nothing while another process has the spool."""
        now = clock.monotonic()
        if load is None or now < self._turn_at:
            return
        self._turn_at = now + TURN
        if self._listener is None:
            if now < self._listen_at:
                return
            self._listen_at = now + LISTEN_AGAIN
            self._listen()
        if self._listener is not None:
            self._accept(self._listener, now)
        for client in self._clients:
            client.turn(now)
        self._clients = [client for client in self._clients if not client.is_over]

    def close(self) -> None:
        """Let go of the port, and of who is connected."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _listen(self) -> None:
        try:
            self._listener = _listening(self._host, self._port)
        except OSError as error:
            if not self._complained:
                _log.warning("%s", self._advice(error))
            self._complained = True
            return
        reach = "" if _is_open(self._host) else " (this machine only; see --metrics-host)"
        _log.info("metrics at %s%s", self.url, reach)

    def _advice(self, error: OSError) -> str:
        taken = error.errno == errno.EADDRINUSE
        why = "the port is taken, perhaps by the agent of another spool" if taken else str(error)
        return (
            f"no metrics at {self._host} port {self._port}: {why}. Uploads go on, and it is tried "
            f"again every {LISTEN_AGAIN:.0f} s. Give each spool on a node a port of its own "
            "(--metrics-port, or UPLOADER_METRICS_PORT), or have all of them write files into one "
            "directory (--metrics-file DIR)"
        )

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(ACCEPTED):
            try:
                connection, _ = listener.accept()
            except OSError:  # nobody else; or it has gone again, or there are no descriptors left
                break
            self._clients.append(_Client(connection, now + TIME_LIMIT, self._respond))
        for client in self._clients[: max(0, len(self._clients) - CLIENTS)]:
            client.close()
        self._clients = [client for client in self._clients if not client.is_over]


class _Client:
    """One connection: a request, its response, and the end."""

    def __init__(
        self,
        connection: socket.socket,
        until: float,
        respond: Callable[[str], tuple[bytes, str]],
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._until = until
        self._respond = respond
        self._request = b""
        self._response: memoryview | None = None
        self.is_over = False

    def turn(self, now: float) -> None:
        """Go as far as it goes without waiting."""
        if now >= self._until:
            self.close()
        try:
            if not self.is_over and self._response is None:
                self._read()
            if not self.is_over and self._response is not None:
                self._write()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of it, whatever is still to be said."""
        self._connection.close()
        self.is_over = True

    def _read(self) -> None:
        data = self._connection.recv(REQUEST)
        self._request += data
        if b"\r\n\r\n" in self._request:
            self._response = memoryview(_answer(self._request, self._respond))
        elif not data:
            self.close()
        elif len(self._request) >= REQUEST:
            self._response = memoryview(_message("431 Request Header Fields Too Large"))

    def _write(self) -> None:
        """Send the rest; then wait for the client's end, or what it has not read might be lost."""
        assert self._response is not None  # noqa: S101  for the type: `turn` has looked
        if self._response:
            self._response = self._response[self._connection.send(self._response) :]
            if not self._response:
                self._connection.shutdown(socket.SHUT_WR)
        elif not self._connection.recv(REQUEST):
            self.close()


def _answer(request: bytes, respond: Callable[[str], tuple[bytes, str]]) -> bytes:
    first, *fields = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004  RFC 9112, 3
        return _message("400 Bad Request")
    method, target, _ = words
    if method not in ("GET", "HEAD"):
        return _message("405 Method Not Allowed", more="Allow: GET, HEAD\r\n")
    if target.partition("?")[0] != PATH:
        return _message("404 Not Found", f"the metrics are at {PATH}\n".encode())
    pairs = [field.partition(":")[::2] for field in fields]
    accept = [value for name, value in pairs if name.lower() == "accept"]
    try:
        body, kind = respond(",".join(accept))
    except Exception as error:  # noqa: BLE001  no scrape may stop an upload; the loop meets it too
        _log.warning("no metrics for a scrape: %s", error)
        return _message("503 Service Unavailable")
    return _message("200 OK", body, kind=kind, with_body=method == "GET")


def _message(
    status: str,
    body: bytes = b"",
    *,
    kind: str = "text/plain; charset=utf-8",
    with_body: bool = True,
    more: str = "",
) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n{more}\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; `::` takes those that come by IPv4, too."""
    ((family, kind, protocol, _, address), *_) = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
    )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(CLIENTS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _is_open(host: str) -> bool:
    return not (host.startswith("127.") or host == "::1")
