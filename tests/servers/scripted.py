"""Answer HTTP requests as a test says, one after another, and keep what was asked.

It may be asked as a proxy too: then a request names the host that it is meant for.
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping


LIMIT = 5.0  #: seconds for which a connection may say nothing; a test leaves none open


@dataclass(frozen=True)
class Asked:
    """A request; names of headers are in lower case, the path is decoded."""

    method: str
    origin: str  #: as http://host:port, of a request to a proxy; else ""
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    connection: int  #: which of the server's, from 0

    @property
    def whole(self) -> bool:
        """Whether the body came to its end."""
        return len(self.body) == int(self.headers.get("content-length", 0))

    @property
    def related(self) -> tuple[dict[str, Any], bytes]:
        """The resource and the bytes of a multipart upload."""
        boundary = self.headers["content-type"].partition("boundary=")[2].encode()
        _, resource, media, end = self.body.split(b"--" + boundary)
        assert end == b"--\r\n"
        described = json.loads(resource.partition(b"\r\n\r\n")[2])
        return described, media.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0  #: bytes that are promised and do not come

    @classmethod
    def document(cls, document: Any, status: int = 200, **headers: str) -> Said:
        """Return an answer in JSON."""
        return cls(status, json.dumps(document).encode(), headers)


class Scripted:
    """A server on the loopback; `says` is taken from its front, `asked` grows at its end."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen."""
        self.asked: list[Asked] = []
        self.says: list[Said] = []
        self._connections = 0
        self._server = _Listener(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, asked: Asked) -> Said:
        """Return the answer to a request; a subclass may say something of its own."""
        del asked
        return self.says.pop(0) if self.says else Said(500)

    def only(self) -> Asked:
        """Return the one request that there was."""
        (asked,) = self.asked
        return asked

    def end(self) -> None:
        """Wait until all connections are closed, and listen no more; again is no harm."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = LIMIT

            def setup(self) -> None:
                super().setup()
                self.number, scripted._connections = (
                    scripted._connections,
                    scripted._connections + 1,
                )

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    super().handle_one_request()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_any(self) -> None:
                asked = self._read()
                scripted.asked.append(asked)
                if not asked.whole:
                    self.close_connection = True
                    return
                said = scripted.answer(asked)
                self.send_response_only(said.status, "It is so")
                length = {"content-length": str(len(said.body) + said.missing)}
                for name, value in {**length, **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)
                self.close_connection = bool(self.close_connection or said.missing)

            do_GET = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815  as the base class has it

            def _read(self) -> Asked:
                parts = urlsplit(self.path)
                size = int(self.headers.get("content-length", 0))
                return Asked(
                    self.command,
                    f"{parts.scheme}://{parts.netloc}" if parts.netloc else "",
                    unquote(parts.path),
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(size) if size else b"",
                    self.number,
                )

        return Handler


class _Listener(ThreadingHTTPServer):
    """Waits for its connections at the end, so that nothing of a request is missed."""

    daemon_threads = False


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    """Have one, to the end of the `with`."""
    server = Scripted()
    try:
        yield server
    finally:
        server.end()
