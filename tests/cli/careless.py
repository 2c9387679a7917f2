"""Be a service that ignores conditions, as rclone's is: hand requests on to another without them.

The other one must check no signatures, since the conditions are signed.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10.0  #: seconds that it waits for either side
POLL_INTERVAL = 0.01  #: seconds; how long ending it may take

_CONDITIONS = {"if-match", "if-none-match"}
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@contextlib.contextmanager
def careless_running(upstream: str) -> Iterator[str]:
    """Run one in front of an endpoint; yield its own endpoint."""
    handler = type("Handler", (_Handler,), {"upstream": urlsplit(upstream).netloc})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request a connection: nothing is left open at the end."""

    protocol_version = "HTTP/1.1"
    timeout = LIMIT
    upstream: str

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {key: value for key, value in self.headers.items() if key.lower() not in _CONDITIONS}
        connection = http.client.HTTPConnection(self.upstream, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            self._send(answer, answer.read())

    def _send(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in _OF_ONE_CONNECTION | {"content-length"}:
                self.send_header(key, value)
        of_head = answer.headers.get("Content-Length", "0")
        self.send_header("Content-Length", of_head if self.command == "HEAD" else str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
