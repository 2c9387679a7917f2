"""Ask a GCS server in plain HTTP, as no client library would: for tests of the rules themselves."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import google_crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.gcs_server import GcsServer

#: Seconds. What should happen does so in milliseconds.
LIMIT = 10.0

_BOUNDARY = "a-boundary"


class Reply(NamedTuple):
    """An answer, read whole; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body's JSON; an error's `reason` is `json["error"]["errors"][0]["reason"]`."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def reason(self) -> str:
        """An error's reason."""
        told: str = self.json["error"]["errors"][0]["reason"]
        return told


class Asking:
    """Speaks to one bucket of a server, on a new connection each time."""

    def __init__(self, server: GcsServer, bucket: str) -> None:
        self.netloc = urlsplit(server.endpoint).netloc
        self.uploads = f"/upload/storage/v1/b/{bucket}/o"
        self.objects = f"/storage/v1/b/{bucket}/o"

    def ask(
        self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request; the target may be a whole URI, such as a session's."""
        path = target.partition(self.netloc)[2] or target
        connection = http.client.HTTPConnection(self.netloc, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, told, answer.read())

    def path(self, name: str) -> str:
        """Say where an object is."""
        return f"{self.objects}/{quote(name, safe='')}"

    def put(
        self,
        name: str,
        data: bytes,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        **resource: Any,
    ) -> Reply:
        """Store an object in one request of two parts."""
        described = json.dumps({"name": name, **resource}).encode()
        body = b"\r\n".join(
            [
                f"--{_BOUNDARY}\r\nContent-Type: application/json\r\n".encode(),
                described,
                f"--{_BOUNDARY}\r\nContent-Type: text/plain\r\n".encode(),
                data,
                f"--{_BOUNDARY}--".encode(),
            ]
        )
        kind = {"Content-Type": f"multipart/related; boundary={_BOUNDARY}"}
        target = f"{self.uploads}?uploadType=multipart{query}"
        return self.ask("POST", target, body, {**kind, **(headers or {})})

    def get(self, name: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Fetch an object's bytes."""
        return self.ask("GET", f"{self.path(name)}?alt=media", headers=headers)

    def begin(self, name: str, query: str = "", total: int | None = None, **resource: Any) -> str:
        """Begin a session, return its URI."""
        headers = {} if total is None else {"X-Upload-Content-Length": str(total)}
        described = json.dumps({"name": name, **resource})
        target = f"{self.uploads}?uploadType=resumable{query}"
        reply = self.ask("POST", target, described, headers)
        assert reply.status == 200, reply
        return reply.headers["location"]

    def send(
        self,
        session: str,
        data: bytes,
        first: int = 0,
        total: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a chunk."""
        whole = "*" if total is None else total
        told = {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{whole}"}
        return self.ask("PUT", session, data, {**told, **(headers or {})})

    def status(self, session: str, total: int | str = "*") -> Reply:
        """Ask how far a session is."""
        return self.ask("PUT", session, headers={"Content-Range": f"bytes */{total}"})


def crc_of(data: bytes) -> str:
    """Return the CRC32C as the API writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
