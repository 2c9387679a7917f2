"""Stand between a client and a service; count what passes, and break it as a test decides.

- Heads and bodies pass unchanged, so signatures stay valid. They cover the `Host` that the client
  sent, which is the proxy's: a server that signs for its own address instead would refuse all.
- One connection to the server for each of the client's, kept alive as long as that: the server sees
  the client's own concurrency.
- GCS names no object in a request of a session: what the session was begun with is remembered.
- Own thread, own event loop; `requests` and `sent` may be asked from any thread at any time.
- What goes wrong in the proxy itself, or in a `decide`, is raised at the end of the `with`.
- Plain HTTP on both sides, to a server on the same machine; TLS on both if that has it, since a
  session's URI has the scheme that the server listens by.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers.exchange import Exchange
from tests.servers.requests import Kind, Request
from tests.servers.wire import PIECE, Head, Peer, PeerGoneError, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from tests.servers.certificates import Certificates
    from tests.servers.faults import Fault

#: Seconds. Starting and ending touch only the loopback and this process.
LIMIT = 10.0


class FaultProxy:
    """A context manager: listens on 127.0.0.1 from `with` to its end, at any port or a given one.

    Attributes:
        decide: asked once for each request; None lets it pass. May be set anew at any time.
        endpoint: `http://127.0.0.1:<port>`, for a client in place of the server's own; `https://`
            if that is, with the certificates that are given.
    """

    endpoint: str

    def __init__(
        self, upstream_endpoint: str, certificates: Certificates | None = None, port: int = 0
    ) -> None:
        parts = urlsplit(upstream_endpoint)
        self._scheme = "https" if certificates else "http"
        if parts.scheme != self._scheme or not parts.hostname or not parts.port:
            raise ValueError(f"not {self._scheme}://HOST:PORT: {upstream_endpoint}")
        self._shown = self._trusted = None
        if certificates:
            self._shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._shown.load_cert_chain(certificates.chain, certificates.key)
            self._trusted = ssl.create_default_context(cafile=certificates.authority)
        self.decide: Callable[[Request], Fault | None] = lambda _: None
        self._address = (parts.hostname, parts.port)
        self._port = port
        self._numbers = itertools.count(1)
        self._requests: list[Request] = []
        self._begun: list[Request] = []
        self._failures: list[BaseException] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._ready: Future[tuple[int, Callable[[], object]]] = Future()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order of their arrival; each is still brought up to date."""
        return self._requests.copy()

    def sent(self, kind: Kind | str) -> int:
        """Return the bytes of body that clients sent in requests of a kind, cut ones included."""
        wanted = Kind(kind)
        return sum(request.body_bytes for request in self.requests if request.kind == wanted)

    def __enter__(self) -> Self:
        self._thread.start()
        port, self._stop = self._ready.result(LIMIT)
        self.endpoint = f"{self._scheme}://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._thread.join(LIMIT)
        if self._thread.is_alive():
            raise AssertionError("the proxy did not end")
        if self._failures and error is None:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - it is raised in the thread that waits
            self._failures.append(failure)
            if not self._ready.done():
                self._ready.set_exception(failure)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", self._port, limit=PIECE, ssl=self._shown
        )
        port = server.sockets[0].getsockname()[1]
        self._ready.set_result((port, lambda: loop.call_soon_threadsafe(stop.set)))
        await stop.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(Peer(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if not connection.cancelled() and (failure := connection.exception()):
            self._failures.append(failure)

    async def _connection(self, client: Peer) -> None:
        upstream = Upstream(*self._address, self._trusted)
        try:
            with contextlib.suppress(PeerGoneError):  # told to the other side by closing it
                while head := await client.read_head():
                    if not await self._exchange(head, client, upstream):
                        break
        except asyncio.CancelledError:
            client.abort()  # the proxy ends: a client that does not read must not keep it
            raise
        finally:
            upstream.abort()
            await client.close()

    async def _exchange(self, head: Head, client: Peer, upstream: Upstream) -> bool:
        method, target, _ = head.start
        request = Request.of(next(self._numbers), method, target, head.headers)
        self._requests.append(request)
        exchange = Exchange(request, head, client, upstream)
        if request.kind is Kind.BEGIN:
            self._begun.append(request)
        elif request.session and not request.key:
            request.key = self._key_of(request.session)
        await exchange.listen()
        fault = self.decide(request)
        await (fault.play(exchange) if fault else exchange.relay())
        return exchange.reusable

    def _key_of(self, session: str) -> str:
        """Return the name that a session was begun with, "" if that did not pass here."""
        return next((one.key for one in self._begun if one.session == session), "")
