"""Be a proxy that only makes tunnels (CONNECT), on the loopback, to where a test says."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT = 10.0  #: seconds for which a tunnel may be idle
PIECE = 1 << 16  #: bytes


class Tunnel:
    """A proxy; whatever it does not know the way to is refused, so that nothing leaves."""

    def __init__(self, ways: Mapping[str, str]) -> None:
        """Listen; `ways` has for each `host:port` that may be asked where it leads."""
        self.ways = dict(ways)
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def end(self) -> None:
        """Listen no more; tunnels end with their clients."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tunnel = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_CONNECT(self) -> None:
                tunnel.asked.append(self.path)
                way = tunnel.ways.get(self.path)
                if way is None:
                    self.send_error(403)
                    return
                host, _, port = way.rpartition(":")
                with socket.create_connection((host, int(port)), LIMIT) as there:
                    self.send_response_only(200, "Connected")
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        _carry(self.connection, there)
                self.close_connection = True

        return Handler


@contextlib.contextmanager
def tunnelling(ways: Mapping[str, str]) -> Iterator[Tunnel]:
    """Have one, to the end of the `with`."""
    tunnel = Tunnel(ways)
    try:
        yield tunnel
    finally:
        tunnel.end()


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on both ways until either side ends."""
    to = {one: other, other: one}
    while ready := select.select(list(to), [], [], LIMIT)[0]:
        for side in ready:
            data = side.recv(PIECE)
            if not data:
                return
            to[side].sendall(data)
