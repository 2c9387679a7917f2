"""Answer each request with its own body, and remember what came: a server for the proxy's tests.

- The last segment of the path asks for other answers: `204`, `304`, `chunked`, `until-close`,
  `closing` (told by a header), `session-of-ID` (told as a location), and `refused`, which answers
  403 instead of `100 Continue`.
"""

from __future__ import annotations

import contextlib
import http.server
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that it waits for a client to go on.
LIMIT = 10.0

#: Seconds; how long ending it may take.
POLL_INTERVAL = 0.01


@dataclass
class Seen:
    """A whole request as the server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes
    client: Any


@contextlib.contextmanager
def echo_running() -> Iterator[EchoServer]:
    """Run one in a thread of this process."""
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class EchoServer(http.server.ThreadingHTTPServer):
    """HTTP/1.1, a thread for each connection.

    `seen` are the requests that came whole, `cut` the paths of those that did not.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: queue.Queue[Seen] = queue.Queue()
        self.cut: queue.Queue[str] = queue.Queue()

    @property
    def endpoint(self) -> str:
        """Where a proxy finds it."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A client that went away is what the tests do."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers by what the key says; remembers what came whole."""

    protocol_version = "HTTP/1.1"
    timeout = LIMIT
    server: EchoServer

    def _any(self) -> None:
        body = self._chunks() if "Transfer-Encoding" in self.headers else self._sized()
        if body is None:
            self.server.cut.put(self.path)
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.put(Seen(self.requestline, headers, body, self.client_address))
        self._answer(self.path.partition("?")[0].rpartition("/")[2], body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815 - http.server's names

    def handle_expect_100(self) -> bool:
        """Refuse what is to be refused unread."""
        if self.path.endswith("refused"):
            self._send(403, b"refused")
            return False
        return super().handle_expect_100()

    def _answer(self, how: str, body: bytes) -> None:
        if how in {"204", "304"}:
            self._send(int(how), None)
        elif how == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")
        elif how == "until-close":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"to the end")
            self.close_connection = True
        else:
            self.close_connection = how == "closing"
            begun = how.removeprefix("session-of-") if how.startswith("session-of-") else ""
            self._send(200, body or b"nothing", begun)

    def _send(self, status: int, body: bytes | None, begun: str = "") -> None:
        self.send_response(status)
        if begun:
            self.send_header("Location", f"http://h/upload/storage/v1/b/b/o?upload_id={begun}")
        if self.close_connection:
            self.send_header("Connection", "close")
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is not None and self.command != "HEAD":
            self.wfile.write(body)

    def _sized(self) -> bytes | None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() != b"\r\n":
            pass
        return body

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
