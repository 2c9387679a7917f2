"""Hold the shorter way to what a connection can do: be kept, end, break off, redirect."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.certificates import Certificates, make_certificates
from uploader.errors import StoreError, ThrottledError, TransientError
from uploader.model import PutMode
from uploader.place import Capabilities, Place
from uploader.store.body import Body
from uploader.store.opening import open_store
from uploader.store.s3.store import S3Store
from uploader.store.testing.given import Artifacts

STORED = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n'
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please</Message></Error>"

Talk = Callable[[socket.socket], None]


class Service:
    """A service that has a script: what it does with each connection, in turn."""

    def __init__(self, *script: Talk, shows: Certificates | None) -> None:
        """Listen; by TLS if there is something to show."""
        self.requests: list[bytes] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if shows else None
        self.trusted = shows.authority if shows else None
        if self._tls and shows:
            self._tls.load_cert_chain(shows.chain, shows.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if shows else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, args=(script,))
        self._thread.start()

    def read(self, connection: socket.socket) -> bytes:
        """Read one request with its body."""
        got = b""
        while b"\r\n\r\n" not in got:
            data = connection.recv(65536)
            if not data:
                raise ConnectionError
            got += data
        head, _, body = got.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        size = int(lengths[0].split(b":")[1]) if lengths else 0
        while len(body) < size:
            body += connection.recv(65536)
        self.requests.append(head)
        return body

    def end(self) -> None:
        """Wait for the end of the script."""
        self._thread.join()
        self._listener.close()

    def _serve(self, script: tuple[Talk, ...]) -> None:
        for talk in script:
            connection, _ = self._listener.accept()
            # Else what is said may wait for an acknowledgement, and be dropped by hanging up.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, suppress(ConnectionError):
                talk(connection)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make what services show."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["plain", "tls"])
def serve(
    request: pytest.FixtureRequest, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Service]]:
    """Start services; each is waited for at the end."""
    shows = certificates if request.param == "tls" else None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    services: list[Service] = []

    def start(*script: Talk) -> Service:
        services.append(Service(*script, shows=shows))
        return services[-1]

    yield start
    for service in services:
        service.end()


def store_at(service: Service, stall_timeout: str = "20s") -> S3Store:
    """Open a store that believes in everything."""
    trusts = f"&ca_bundle={service.trusted}" if service.trusted else ""
    place = Place.of(
        f"s3://bucket?endpoint={service.endpoint}&stall_timeout={stall_timeout}{trusts}"
    )
    store = open_store(replace(place, capabilities=Capabilities(service.endpoint)))
    assert isinstance(store, S3Store)
    return store


def put(store: S3Store, artifacts: Artifacts, content: bytes = b"content") -> None:
    """Put a new artifact, create-only: a single request."""
    artifacts.of(content).put(store, "name", PutMode.CREATE)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Make what is put."""
    return Artifacts(tmp_path / "blobs")


def test_a_connection_is_kept(serve: Callable[..., Service], artifacts: Artifacts) -> None:
    """Three requests, one connection, and each is signed."""

    def talk(connection: socket.socket) -> None:
        for _ in range(3):
            service.read(connection)
            connection.sendall(STORED)

    service = serve(talk)
    store = store_at(service)
    for _ in range(3):
        put(store, artifacts)
    store.close()
    assert len(service.requests) == 3
    assert all(b"authorization: AWS4-HMAC-SHA256" in head for head in service.requests)


def test_a_connection_that_ended_while_it_was_idle_is_replaced(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """No request is lost to it, and none fails."""
    go_on, ended = threading.Event(), threading.Event()

    def once(connection: socket.socket) -> None:
        service.read(connection)
        connection.sendall(STORED)
        go_on.wait(10)
        connection.shutdown(socket.SHUT_RDWR)
        ended.set()

    service = serve(once, once)
    store = store_at(service)
    put(store, artifacts)
    go_on.set()
    assert ended.wait(10)
    put(store, artifacts)
    store.close()
    assert len(service.requests) == 2


def test_a_connection_that_was_reset_while_it_was_idle_is_replaced(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """As a service does that is killed: no request fails for it, nor is one tried twice."""
    go_on, ended = threading.Event(), threading.Event()

    def once(connection: socket.socket) -> None:
        service.read(connection)
        connection.sendall(STORED)
        go_on.wait(10)
        linger = struct.pack("ii", 1, 0)  # close by a reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
        ended.set()

    def again(connection: socket.socket) -> None:
        service.read(connection)
        connection.sendall(STORED)

    service = serve(once, again)
    store = store_at(service)
    put(store, artifacts)
    go_on.set()
    assert ended.wait(10)
    put(store, artifacts)
    store.close()
    assert len(service.requests) == 2


def test_an_early_refusal_counts_though_the_rest_was_sent_into_the_void(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """The connection is reset as soon as more comes, and what was said could go with it."""
    refused = threading.Event()

    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 503 Slow Down\r\nContent-Length: %d\r\n\r\n%s" % (len(SLOW_DOWN), SLOW_DOWN)
        )
        refused.set()

    class Late(Body):
        """A body whose second piece comes when the service has hung up."""

        def chunks(self) -> Iterator[bytes]:
            for at, chunk in enumerate(self.read()):
                assert at != 1 or refused.wait(10)
                yield chunk

    store = store_at(serve(refuse))
    whole = artifacts.of(b"x" * (2 << 20))
    body = Late(whole.body.path, 0, whole.body.size, whole.body.crc32c)
    with pytest.raises(ThrottledError, match="SlowDown: Please"):
        store.put("name", body, PutMode.CREATE, whole.meta)
    store.close()


def test_a_service_that_reads_nothing_is_given_up(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """After the stall timeout, not after the kernel's."""
    given_up = threading.Event()
    store = store_at(serve(lambda _: given_up.wait(30)), "1s")
    with pytest.raises(TransientError, match="nothing moved for 1 s"):
        put(store, artifacts, b"x" * (16 << 20))
    given_up.set()
    store.close()


def test_an_early_refusal_is_read_though_the_body_was_not(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """What the service says counts, not that it hung up on the rest of the body."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
            % (len(SLOW_DOWN), SLOW_DOWN)
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):  # unread bytes would make the end a reset
            pass

    store = store_at(serve(refuse))
    with pytest.raises(ThrottledError, match="SlowDown: Please"):
        put(store, artifacts, b"x" * (8 << 20))
    store.close()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", STORED[:-20]]
)
def test_a_broken_answer_is_a_fault_that_passes(
    serve: Callable[..., Service], artifacts: Artifacts, said: bytes
) -> None:
    """Also one that ends between two headers, which is easily taken for a whole one."""

    def talk(connection: socket.socket) -> None:
        service.read(connection)
        connection.sendall(said)

    service = serve(talk)
    store = store_at(service)
    with pytest.raises(TransientError):
        put(store, artifacts)
    store.close()


def test_a_redirect_is_left_to_the_sdk(serve: Callable[..., Service], artifacts: Artifacts) -> None:
    """It asks again by itself, with its own knowledge of regions; so do all later requests."""

    def redirect(connection: socket.socket) -> None:
        service.read(connection)
        connection.sendall(b"HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\n\r\n")

    def store_it(connection: socket.socket) -> None:
        for _ in range(2):
            service.read(connection)
            connection.sendall(STORED)

    service = serve(redirect, store_it)
    store = store_at(service)
    put(store, artifacts)
    put(store, artifacts)
    store.close()
    agents = [b"user-agent: boto3" in head.lower() for head in service.requests]
    assert agents == [False, True, True]


def test_a_service_that_is_not_there_is_a_fault_that_passes(
    serve: Callable[..., Service], artifacts: Artifacts
) -> None:
    """As a service that is restarted."""
    service = serve()
    store = store_at(service)
    service.end()
    with pytest.raises(StoreError) as raised:
        put(store, artifacts)
    assert type(raised.value) is TransientError
    store.close()
