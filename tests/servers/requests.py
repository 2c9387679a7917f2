"""Keep of each request what a test asserts on, alike for S3 and for GCS."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers import gcs_protocol, s3_protocol
from tests.servers.kinds import Kind, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Kind", "Refusal", "Request"]


@dataclasses.dataclass
class Request:
    """A request that reached the proxy; what is told of its body and answer grows as it goes on.

    Attributes:
        number: its place among all requests, from 1.
        path: decoded, with the bucket.
        query: decoded; a word without a value has the value "".
        headers: names in lower case.
        kind: what it asks for, `Kind.OTHER` if that is nothing that an uploader has use for.
        bucket: "" if the request names none.
        key: the name of the object that it makes or is about, "" if it names none.
        part: of a request of a session: S3's part number, GCS's offset in bytes.
        session: the session that it belongs to or, once that is answered, has begun.
        metadata: what is to be kept beside the object.
        body_bytes: bytes of the body that came from the client so far, without the framing of a
            chunked one; what was thrown away counts too, as the client did send it.
        status: of the answer that was sent to the client, who may have been gone; None if none was
            sent so far.
        upstream_status: of the server's answer, whether or not the client was given it.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    kind: Kind
    bucket: str
    key: str
    part: int | None
    session: str
    metadata: Mapping[str, str]
    body_bytes: int = 0
    status: int | None = None
    upstream_status: int | None = None

    @classmethod
    def of(cls, number: int, method: str, target: str, headers: Mapping[str, str]) -> Request:
        """Read a request line's target as the service does whose paths are like that."""
        parts = urlsplit(f"//host{target}") if target.startswith("/") else urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        told = _protocol(parts.path).told(method, parts.path, query, headers)
        return cls(
            number, method, unquote(parts.path), query, headers,
            told.kind, told.bucket, told.key, told.part, told.session, told.metadata,
        )  # fmt: skip

    @property
    def of_gcs(self) -> bool:
        """Whether it is one of GCS's JSON API."""
        return _protocol(self.path) is gcs_protocol

    @property
    def tells_more(self) -> bool:
        """Whether the beginning of its body names the object, or has the metadata."""
        return self.of_gcs and gcs_protocol.tells_more(self.kind, self.headers)

    def learn(self, body: bytes) -> bool:
        """Take down what the body's beginning tells; False if more of it is needed."""
        resource = gcs_protocol.resource(self.headers, body)
        if resource is None:
            return False
        described = resource.get("destination", resource)
        self.key = self.key or described.get("name", "")
        self.metadata = described.get("metadata", {})
        return True

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take down what the server's answer tells."""
        if self.kind is Kind.BEGIN and "location" in headers:
            self.session = gcs_protocol.session_in(headers["location"])

    def refused(self, why: Refusal) -> tuple[int, str]:
        """Return status and code by which its service refuses for that reason."""
        refusals: dict[Refusal, tuple[int, str]] = _protocol(self.path).REFUSALS
        return refusals[why]

    def error(self, status: int, code: str) -> tuple[list[str], bytes]:
        """Return the headers and the body by which its service tells an error.

        To a HEAD there is no body: a client knows only the status.
        """
        headers, body = _protocol(self.path).error(status, code, self.number)
        return headers, b"" if self.method == "HEAD" else body


def _protocol(path: str) -> ModuleType:
    return gcs_protocol if path.startswith(gcs_protocol.PATHS) else s3_protocol
