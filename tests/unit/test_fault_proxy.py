"""Hold the fault proxy to its word: what passes is unchanged, what breaks does so as named."""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers.echo import EchoServer, echo_running
from tests.servers.faults import (
    Answer,
    Delay,
    DropAnswer,
    ErrorIn200,
    Fault,
    Hold,
    ResetAfterBody,
    ResetBeforeBody,
    StallAnswer,
    StallBody,
    TruncateAnswer,
    first,
)
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Request

#: Seconds. What should happen does so in milliseconds; this is for when it does not.
LIMIT = 10.0

#: Seconds that a client waits for what must not come.
PATIENCE = 0.3

#: Bytes: more than the buffers on the way hold (4 + 6 MiB of sockets, and the proxy's).
MORE_THAN_BUFFERS = 64 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """Stand in for S3."""
    with echo_running() as running:
        yield running


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    """A proxy before it."""
    with FaultProxy(f"http://127.0.0.1:{server.server_port}") as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """A client of the proxy that keeps its connection."""
    with contextlib.closing(
        http.client.HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=LIMIT)
    ) as connection:
        yield connection


def ask(
    client: http.client.HTTPConnection, method: str = "PUT", path: str = "/b/k", body: Any = b"body"
) -> tuple[int, bytes]:
    """Send a request, return the answer's status and body."""
    client.request(method, path, body)
    with client.getresponse() as answer:
        return answer.status, answer.read()


@contextlib.contextmanager
def plug(proxy: FaultProxy) -> Iterator[socket.socket]:
    """Connect without a client's manners."""
    address = urlsplit(proxy.endpoint)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), LIMIT) as plain:
        yield plain


def put_head(length: int, path: str = "/b/k", more: str = "") -> bytes:
    """Make the head of a PUT."""
    return f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def always(fault: Fault) -> Callable[[Request], Fault | None]:
    """Give every request the fault."""
    return lambda _: fault


def wait_until(holds: Callable[[], object]) -> None:
    """Look at the proxy's own thread again and again until it is so."""
    waited = threading.Event()
    for _ in range(int(LIMIT / 0.005)):
        if holds():
            return
        waited.wait(0.005)
    raise AssertionError("it did not come to be so in time")


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
    assert proxy.sent("PutObject") == 5


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
    with plug(proxy) as plain:
        plain.sendall(put_head(4, more="Expect: 100-continue\r\n"))
        assert plain.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        plain.sendall(b"body")
        assert b" 200 " in plain.recv(1000)
    assert server.seen.get(timeout=LIMIT).body == b"body"


def test_a_client_refused_instead_of_100_goes_on_without_a_body(proxy: FaultProxy) -> None:
    """Botocore does that: the next request follows on the same connection."""
    with plug(proxy) as plain:
        plain.sendall(put_head(4, "/b/refused", "Expect: 100-continue\r\n"))
        assert plain.recv(1000).startswith(b"HTTP/1.1 403 ")
        plain.sendall(put_head(4) + b"next")
        wait_until(lambda: len(proxy.requests) == 2 and proxy.requests[1].status == 200)


def test_a_client_killed_within_its_body_cuts_the_servers_request(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """What it had sent is counted; the server does not see a whole request."""
    with plug(proxy) as plain:
        plain.sendall(put_head(1_000_000) + bytes(300_000))
        wait_until(lambda: proxy.sent("PutObject") == 300_000)
    assert server.cut.get(timeout=LIMIT) == "/b/k"
    assert server.seen.empty()
    assert proxy.requests[0].status is None


def test_an_error_is_answered_instead_of_the_server(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The whole body was read: the connection serves the next request."""
    proxy.decide = first("PutObject", Answer(503, "SlowDown"))
    status, body = ask(client, body=bytes(1_000_000))
    assert status == 503
    assert b"<Code>SlowDown</Code>" in body
    assert ask(client) == (200, b"body")
    assert server.seen.get(timeout=LIMIT).body == b"body"
    assert server.seen.empty()
    assert [request.status for request in proxy.requests] == [503, 200]
    assert [request.upstream_status for request in proxy.requests] == [None, 200]
    assert proxy.sent("PutObject") == 1_000_004


def test_an_error_to_head_has_no_body(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """As S3 does: a client knows only the status."""
    proxy.decide = first("HeadObject", Answer(403, "AccessDenied"))
    assert ask(client, "HEAD", body=None) == (403, b"")
    assert ask(client) == (200, b"body")


def test_an_error_invites_the_body_it_throws_away(proxy: FaultProxy) -> None:
    """A client that expects 100 sends nothing without it."""
    proxy.decide = always(Answer(500, "InternalError"))
    with plug(proxy) as plain:
        plain.sendall(put_head(4, more="Expect: 100-continue\r\n"))
        assert plain.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(b"body")
        assert plain.recv(1000).startswith(b"HTTP/1.1 500 ")


def test_a_reset_before_the_body_leaves_the_body_unread(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """It does not wait for what the client has not sent."""
    proxy.decide = always(ResetBeforeBody())
    with plug(proxy) as plain:
        plain.sendall(put_head(1_000_000))
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert proxy.sent("PutObject") == 0
    assert server.seen.empty()


def test_a_reset_after_the_body_waits_for_all_of_it(server: EchoServer, proxy: FaultProxy) -> None:
    """The server has seen nothing, though the client sent everything."""
    proxy.decide = always(ResetAfterBody())
    with plug(proxy) as plain:
        plain.sendall(put_head(100_000) + bytes(99_999))
        wait_until(lambda: proxy.sent("PutObject") == 99_999)
        plain.settimeout(PATIENCE)
        with pytest.raises(TimeoutError):
            plain.recv(1)
        plain.sendall(b"!")
        plain.settimeout(LIMIT)
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert proxy.sent("PutObject") == 100_000
    assert server.seen.empty()


def test_a_stalled_body_blocks_the_sender(proxy: FaultProxy) -> None:
    """Its sending times out: nobody reads, nobody closes."""
    proxy.decide = always(StallBody(after=1))
    with plug(proxy) as plain:
        plain.settimeout(PATIENCE)
        plain.sendall(put_head(MORE_THAN_BUFFERS))
        with pytest.raises(TimeoutError):
            plain.sendall(bytes(MORE_THAN_BUFFERS))
    assert 0 < proxy.sent("PutObject") < MORE_THAN_BUFFERS


def test_a_dropped_answer_is_that_of_a_request_that_was_done(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The case in which a retry meets its own object."""
    proxy.decide = always(DropAnswer())
    with pytest.raises(ConnectionResetError):
        ask(client)
    assert server.seen.get(timeout=LIMIT).body == b"body"
    (request,) = proxy.requests
    assert (request.status, request.upstream_status) == (None, 200)


def test_a_truncated_answer_ends_in_its_middle(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The status is there and most of the body is not."""
    proxy.decide = always(TruncateAnswer())
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(client, body=bytes(10_000))
    assert 4_000 < len(cut.value.partial) < 6_000
    assert len(server.seen.get(timeout=LIMIT).body) == 10_000


def test_a_stalled_answer_is_that_of_a_request_that_was_done(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Only the client's own limit ends the wait."""
    proxy.decide = always(StallAnswer())
    client.timeout = PATIENCE
    with pytest.raises(TimeoutError):
        ask(client)
    assert server.seen.get(timeout=LIMIT).body == b"body"


@pytest.mark.parametrize("forward", [True, False])
def test_an_error_in_200_is_told_whether_or_not_it_was_done(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection, forward: bool
) -> None:
    """S3 answers 200 to a complete or copy before it knows how it ends."""
    proxy.decide = first("CompleteMultipartUpload", ErrorIn200("InternalError", forward))
    status, body = ask(client, "POST", "/b/k?uploadId=u")
    assert status == 200
    assert body.startswith(b"<?xml")
    assert b"<Error><Code>InternalError</Code>" in body
    assert server.seen.qsize() == forward
    assert ask(client) == (200, b"body")


def test_a_delay_holds_a_request_back_and_lets_it_pass(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The client has no answer before the time, the right one after it."""
    proxy.decide = always(Delay(2 * PATIENCE))
    client.request("PUT", "/b/k", b"body")
    with pytest.raises(queue.Empty):
        server.seen.get(timeout=PATIENCE)
    with client.getresponse() as answer:
        assert answer.read() == b"body"


def test_a_held_request_reaches_the_server_after_its_client_died(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """A late write of a killed worker, made at will."""
    event = threading.Event()
    proxy.decide = always(Hold(event))
    with plug(proxy) as plain:
        plain.sendall(put_head(4) + b"late")
        wait_until(lambda: proxy.sent("PutObject") == 4)
    with pytest.raises(queue.Empty):
        server.seen.get(timeout=PATIENCE)
    event.set()
    assert server.seen.get(timeout=LIMIT).body == b"late"


def test_a_held_request_is_answered_if_its_client_waits(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Held, then as if nothing were."""
    event = threading.Event()
    proxy.decide = always(Hold(event))
    client.request("PUT", "/b/k", b"body")
    wait_until(lambda: proxy.sent("PutObject") == 4)
    event.set()
    with client.getresponse() as answer:
        assert (answer.status, answer.read()) == (200, b"body")
    assert proxy.requests[0].status == 200


@pytest.mark.parametrize("fault", [StallBody(), StallAnswer(), Delay(LIMIT * 9)])
def test_the_proxy_ends_though_a_client_still_waits(server: EchoServer, fault: Fault) -> None:
    """A test that failed must not hang in its clean-up; the client is told."""
    with contextlib.ExitStack() as later:
        with FaultProxy(f"http://127.0.0.1:{server.server_port}") as proxy:
            proxy.decide = always(fault)
            plain = later.enter_context(plug(proxy))
            plain.sendall(put_head(4) + b"body")
            wait_until(lambda: proxy.requests)
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""


def test_a_server_that_is_gone_ends_the_connection() -> None:
    """The client finds it closed; the request is still on record."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with (
            FaultProxy(f"http://127.0.0.1:{nobody.getsockname()[1]}") as proxy,
            plug(proxy) as plain,
        ):
            plain.sendall(put_head(0))
            assert plain.recv(1) == b""
        assert [request.kind for request in proxy.requests] == ["PutObject"]


def test_a_decision_that_fails_is_raised_at_the_end(server: EchoServer) -> None:
    """A mistake in a test's own function must not pass for a fault."""

    def decide(_: Request) -> Fault | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: PT012, SIM117 - it is the end that raises
        with FaultProxy(f"http://127.0.0.1:{server.server_port}") as proxy:
            proxy.decide = decide
            with plug(proxy) as plain:
                plain.sendall(put_head(0))
                assert plain.recv(1) == b""
