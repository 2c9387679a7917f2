"""Be a cloud's metadata service on the loopback: the same questions, refusals and answers.

- EC2 (IMDSv2): a token is had by PUT with its life in a header (400 without, and beyond six hours);
  every GET needs one (401); the notice of a Spot Instance is 404 until there is one.
  Source: the EC2 User Guide, "Use IMDSv2", "Spot Instance interruption notices".
- Compute Engine: every question says `Metadata-Flavor: Google` (403), and so does every answer;
  `wait_for_change` waits for another ETag than `last_etag`, at most `timeout_sec`.
  Source: its documentation, "About VM metadata", "Detect if a VM was preempted".
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LIFE = 21600  #: seconds that a token of EC2 lives at most
TOKEN_LIFE = "X-aws-ec2-metadata-token-ttl-seconds"


class Metadata:
    """The metadata service of one machine."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []  #: method, path and the answer's status
        self.tokens: set[str] = set()
        self.waits = True  #: for a change, where it is asked to; not so a proxy in front of it
        self._aws: str | None = None
        self._gcp = "FALSE"
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the SDKs of both find it."""
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.host}",
            "GCE_METADATA_HOST": self.host,
        }

    def reclaim(self, seconds: float, action: str = "terminate") -> None:
        """Give notice as EC2 does."""
        at = datetime.fromtimestamp(time.time() + seconds, timezone.utc)
        self._aws = json.dumps({"action": action, "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"})

    def preempt(self) -> None:
        """Give notice as Compute Engine does."""
        with self._changed:
            self._gcp = "TRUE"
            self._changed.notify_all()

    def answers(self, path: str) -> list[int]:
        """Return the statuses of what was asked for below a path."""
        return [status for _, asked, status in self.asked if asked.startswith(path)]

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, headers: dict[str, str]) -> tuple[int, str]:
        """Answer a PUT for a token."""
        life = headers.get(TOKEN_LIFE.lower(), "0")
        if not 0 < int(life) <= MOST_LIFE:
            return 400, ""
        self.tokens.add(token := secrets.token_hex(8))
        return 200, token

    def get(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Answer a GET."""
        parts = urlsplit(path)
        if parts.path.startswith("/computeMetadata/v1/"):
            return self._of_google(parts.path, parse_qs(parts.query), headers)
        if headers.get("x-aws-ec2-metadata-token") not in self.tokens:
            return 401, ""
        notice = parts.path == "/latest/meta-data/spot/instance-action" and self._aws
        return (200, notice) if notice else (404, "")

    def etag(self) -> str:
        """Return the mark of Compute Engine's present answer."""
        return f"{hash(self._gcp) & 0xFFFFFFFF:x}"

    def _of_google(
        self, path: str, query: dict[str, list[str]], headers: dict[str, str]
    ) -> tuple[int, str]:
        if headers.get("metadata-flavor") != "Google":
            return 403, ""
        if path != "/computeMetadata/v1/instance/preempted":
            return 404, ""
        if query.get("wait_for_change") == ["true"] and self.waits:
            limit = float(query.get("timeout_sec", ["60"])[0])
            with self._changed:
                self._changed.wait_for(lambda: [self.etag()] != query.get("last_etag"), limit)
        return 200, self._gcp


@contextlib.contextmanager
def metadata_running() -> Iterator[Metadata]:
    """Run one."""
    service = Metadata()
    try:
        yield service
    finally:
        service.preempt()  # whoever waits for a change has it
        service.close()


def _handler_of(service: Metadata) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer(*service.put(self._names()))

        def do_GET(self) -> None:
            self._answer(*service.get(self.path, self._names()))

        def _names(self) -> dict[str, str]:
            return {name.lower(): value for name, value in self.headers.items()}

        def _answer(self, status: int, text: str) -> None:
            service.asked.append((self.command, self.path, status))
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("ETag", service.etag())
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, *said: object) -> None:
            """Say nothing."""

    return Handler
