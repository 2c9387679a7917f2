"""Make requests of the JSON API past the SDK: straight to the service, or by way of its session.

- Straight is what is frequent: a file, a chunk, a look. The way of `requests` costs a small file
  four times the CPU; it is taken where only it knows how: a proxy, a certificate of the client's.
- The token goes to the endpoint alone. A session's URI may lead elsewhere, and authorises itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from uploader.store.body import CHUNK
from uploader.store.http.connections import Connections
from uploader.store.http.reply import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from uploader.store.gcs.client import Sdk

AGENT = "artifact-uploader"  #: how requests name us


class Exchange(Protocol):
    """A way to ask."""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Answer:
        """Make a request; `headers` has the content-length of a body.

        Raises:
            OSError, requests.exceptions.RequestException: on the way.
            StoreError: of the body, whose end was then not sent; of the credentials.
        """

    def close(self) -> None:
        """Let go of connections."""


def exchange_of(sdk: Sdk) -> Exchange:
    """Return the shortest way that leads there."""
    return Straight(sdk) if sdk.goes_direct else Mediated(sdk)


class Straight:
    """Connections of our own; see `Exchange`."""

    def __init__(self, sdk: Sdk) -> None:
        """Use the credentials of `sdk`."""
        self._sdk = sdk
        self._connections: dict[str, Connections] = {}
        self._origin = _origin_of(sdk.endpoint)
        self._to(self._origin)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Answer:
        """See `Exchange.request`."""
        origin = _origin_of(url)
        given = {"user-agent": AGENT, **headers}
        if origin == self._origin:
            given |= self._sdk.authorized(method, url)
        connections = self._to(origin)
        given["host"] = connections.host
        return connections.request(method, url.removeprefix(origin), given, body)

    def close(self) -> None:
        """See `Exchange.close`."""
        for connections in self._connections.values():
            connections.close()

    def _to(self, origin: str) -> Connections:
        if origin not in self._connections:
            _, stall = self._sdk.timeout
            self._connections[origin] = Connections(origin, self._sdk.trusted, stall)
        return self._connections[origin]


class Mediated:
    """The SDK's session; see `Exchange`."""

    def __init__(self, sdk: Sdk) -> None:
        """Use the session of `sdk`, and to other origins the one that bears no token."""
        self._session, self._plain, self._timeout = sdk.session, sdk.plain, sdk.timeout
        self._origin = _origin_of(sdk.endpoint)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Answer:
        """See `Exchange.request`."""
        sized = _Sized(body, int(headers.get("content-length", 0)))
        session = self._session if _origin_of(url) == self._origin else self._plain
        response = session.request(
            method,
            url,
            data=sized if len(sized) else None,
            headers={"user-agent": AGENT, **headers},
            timeout=self._timeout,
            allow_redirects=False,
        )
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, told, response.content)

    def close(self) -> None:
        """See `Exchange.close`; the sessions are the SDK's."""


class _Sized:
    """A body as a file whose length `requests` asks for; it is read once."""

    def __init__(self, body: Iterable[bytes], size: int) -> None:
        self._chunks = iter(body)
        self._size = size
        self._waiting = b""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def read(self, amount: int = CHUNK) -> bytes:
        """Return the next bytes, `amount` at most; nothing at the end."""
        if not self._waiting:
            self._waiting = next(self._chunks, b"")
        given, self._waiting = self._waiting[:amount], self._waiting[amount:]
        return given


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
