"""Hold the fault proxy to changing nothing where no fault is asked for, and to telling its own."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.servers.echo import EchoServer, echo_running
from tests.servers.faults import Fault
from tests.servers.leash import nobody_listens
from tests.servers.plain import LIMIT, ask, keep_connection, plug, put_head, wait_until
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Request

#: Bytes: more than the buffers on the way hold (4 + 6 MiB of sockets, and the proxy's).
MORE_THAN_BUFFERS = 64 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """Stand in for S3."""
    with echo_running() as running:
        yield running


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    """Stand before it."""
    with FaultProxy(server.endpoint) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """Keep a connection to the proxy."""
    with keep_connection(proxy.endpoint) as connection:
        yield connection


def test_a_request_passes_with_its_head_unchanged(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """A signature covers host, target and headers as the client wrote them."""
    assert ask(client, path="/b/a%2Fb%20c?x=1%2B1&y") == (200, b"body")
    seen = server.seen.get(timeout=LIMIT)
    assert seen.line == "PUT /b/a%2Fb%20c?x=1%2B1&y HTTP/1.1"
    assert seen.headers["host"] == urlsplit(proxy.endpoint).netloc
    assert seen.body == b"body"
    (request,) = proxy.requests
    assert (request.number, request.path, request.query) == (1, "/b/a/b c", {"x": "1+1", "y": ""})
    assert (request.body_bytes, request.status, request.upstream_status) == (4, 200, 200)


def test_a_large_body_passes_both_ways(client: http.client.HTTPConnection) -> None:
    """More than any buffer holds, in many pieces."""
    content = bytes(range(256)) * 65_536
    assert ask(client, body=content) == (200, content)


def test_a_chunked_body_passes_and_is_counted_without_its_framing(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """An SDK that streams sends one."""
    client.request("PUT", "/b/k", iter([b"abc", b"de"]), encode_chunked=True)
    with client.getresponse() as answer:
        assert answer.read() == b"abcde"
    assert server.seen.get(timeout=LIMIT).headers["transfer-encoding"] == "chunked"
    assert proxy.sent("put") == 5


@pytest.mark.parametrize(
    ("method", "key", "expected"),
    [
        ("GET", "204", (204, b"")),
        ("GET", "304", (304, b"")),
        ("HEAD", "any", (200, b"")),
        ("GET", "chunked", (200, b"abcde")),
        ("GET", "until-close", (200, b"to the end")),
    ],
)
def test_an_answer_ends_where_http_says(
    client: http.client.HTTPConnection, method: str, key: str, expected: tuple[int, bytes]
) -> None:
    """The next request is answered too: nothing was left over and nothing awaited."""
    assert ask(client, method, f"/b/{key}", None) == expected
    assert ask(client, "PUT", "/b/k", b"next") == (200, b"next")


def test_connections_are_kept_on_both_sides(
    server: EchoServer, client: http.client.HTTPConnection
) -> None:
    """A connection for each request would hide what a client costs a server."""
    ask(client)
    mine = client.sock
    ask(client)
    assert client.sock is mine
    one, two = (server.seen.get(timeout=LIMIT).client for _ in range(2))
    assert one == two


def test_a_client_that_expects_100_gets_the_servers(server: EchoServer, proxy: FaultProxy) -> None:
    """The body is sent only after it."""
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(4, more="Expect: 100-continue\r\n"))
        assert plain.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        plain.sendall(b"body")
        assert b" 200 " in plain.recv(1000)
    assert server.seen.get(timeout=LIMIT).body == b"body"


def test_a_client_refused_instead_of_100_goes_on_without_a_body(proxy: FaultProxy) -> None:
    """Botocore does that: the next request follows on the same connection."""
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(4, "/b/refused", "Expect: 100-continue\r\n"))
        assert plain.recv(1000).startswith(b"HTTP/1.1 403 ")
        plain.sendall(put_head(4) + b"next")
        wait_until(lambda: len(proxy.requests) == 2 and proxy.requests[1].status == 200)
    assert [request.method for request in proxy.requests] == ["PUT", "PUT"]
    assert [request.body_bytes for request in proxy.requests] == [0, 4]


def test_a_client_killed_within_its_body_cuts_the_servers_request(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """What it had sent is counted; the server does not see a whole request."""
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(1_000_000) + bytes(300_000))
        wait_until(lambda: proxy.sent("put") == 300_000)
    assert server.cut.get(timeout=LIMIT) == "/b/k"
    assert server.seen.empty()
    assert proxy.requests[0].status is None


def test_a_server_that_closes_closes_the_client(proxy: FaultProxy) -> None:
    """Else the client's next request would cost it a connection that it does not know of."""
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(4, "/b/closing") + b"body")
        wait_until(lambda: proxy.requests[0].status == 200 if proxy.requests else False)
        answer = b"".join(iter(lambda: plain.recv(1000), b""))
    assert b"Connection: close" in answer
    assert answer.endswith(b"body")


def test_the_proxy_ends_though_a_client_reads_nothing(server: EchoServer) -> None:
    """An answer that nobody takes must not keep it."""
    with contextlib.ExitStack() as later, FaultProxy(server.endpoint) as proxy:
        plain = later.enter_context(plug(proxy.endpoint))
        plain.sendall(put_head(MORE_THAN_BUFFERS) + bytes(MORE_THAN_BUFFERS))
        wait_until(lambda: proxy.requests[0].status == 200)


def test_a_server_that_is_gone_ends_the_connection() -> None:
    """The client finds it closed; the request is still on record."""
    with nobody_listens() as nowhere:
        with FaultProxy(nowhere) as proxy, plug(proxy.endpoint) as plain:
            plain.sendall(put_head(0))
            assert plain.recv(1) == b""
        assert [request.kind for request in proxy.requests] == ["put"]


def test_a_decision_that_fails_is_raised_at_the_end(server: EchoServer) -> None:
    """A mistake in a test's own function must not pass for a fault."""

    def decide(_: Request) -> Fault | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117 - it is the end that raises
        with FaultProxy(server.endpoint) as proxy:
            proxy.decide = decide
            with plug(proxy.endpoint) as plain:
                plain.sendall(put_head(0))
                assert plain.recv(1) == b""
