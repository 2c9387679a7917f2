"""Hold the fault proxy to its word: what passes is unchanged, what breaks does so as named."""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.servers.echo import EchoServer, echo_running
from tests.servers.faults import (
    Answer,
    Delay,
    DropAnswer,
    ErrorIn200,
    Fault,
    Hold,
    Refuse,
    ResetAfterBody,
    ResetBeforeBody,
    StallAnswer,
    StallBody,
    TruncateAnswer,
    first,
)
from tests.servers.plain import LIMIT, ask, keep_connection, plug, put_head, wait_until
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Refusal, Request

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
    """Stand before it."""
    with FaultProxy(server.endpoint) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """Keep a connection to the proxy."""
    with keep_connection(proxy.endpoint) as connection:
        yield connection


def always(fault: Fault) -> Callable[[Request], Fault | None]:
    """Give every request the fault."""
    return lambda _: fault


def test_an_error_is_answered_instead_of_the_server(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The whole body was read: the connection serves the next request."""
    proxy.decide = first("put", Answer(503, "SlowDown"))
    status, body = ask(client, body=bytes(1_000_000))
    assert status == 503
    assert b"<Code>SlowDown</Code>" in body
    assert ask(client) == (200, b"body")
    assert server.seen.get(timeout=LIMIT).body == b"body"
    assert server.seen.empty()
    assert [request.status for request in proxy.requests] == [503, 200]
    assert [request.upstream_status for request in proxy.requests] == [None, 200]
    assert proxy.sent("put") == 1_000_004


def test_an_error_to_head_has_no_body(proxy: FaultProxy) -> None:
    """As S3 does: a client knows only the status."""
    proxy.decide = always(Answer(403, "AccessDenied"))
    with plug(proxy.endpoint) as plain:
        plain.sendall(b"HEAD /b/k HTTP/1.1\r\nHost: h\r\n\r\n")
        head = plain.recv(1000)
        assert head.startswith(b"HTTP/1.1 403 ")
        assert head.endswith(b"\r\n\r\n")
        plain.settimeout(PATIENCE)
        with pytest.raises(TimeoutError):
            plain.recv(1000)


def test_an_error_invites_the_body_it_throws_away(proxy: FaultProxy) -> None:
    """A client that expects 100 sends nothing without it."""
    proxy.decide = always(Answer(500, "InternalError"))
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(4, more="Expect: 100-continue\r\n"))
        assert plain.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(b"body")
        assert plain.recv(1000).startswith(b"HTTP/1.1 500 ")


def test_a_reset_before_the_body_leaves_the_body_unread(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """It does not wait for what the client has not sent."""
    proxy.decide = always(ResetBeforeBody())
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(1_000_000))
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert proxy.sent("put") == 0
    assert server.seen.empty()


def test_a_reset_after_the_body_waits_for_all_of_it(server: EchoServer, proxy: FaultProxy) -> None:
    """The server has seen nothing, though the client sent everything."""
    proxy.decide = always(ResetAfterBody())
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(100_000) + bytes(99_999))
        wait_until(lambda: proxy.sent("put") == 99_999)
        plain.settimeout(PATIENCE)
        with pytest.raises(TimeoutError):
            plain.recv(1)
        plain.sendall(b"!")
        plain.settimeout(LIMIT)
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert proxy.sent("put") == 100_000
    assert server.seen.empty()


def test_a_stalled_body_blocks_the_sender(proxy: FaultProxy) -> None:
    """Its sending times out: nobody reads, nobody closes."""
    proxy.decide = always(StallBody(after=1))
    with plug(proxy.endpoint) as plain:
        plain.settimeout(PATIENCE)
        plain.sendall(put_head(MORE_THAN_BUFFERS))
        with pytest.raises(TimeoutError):
            plain.sendall(bytes(MORE_THAN_BUFFERS))
        wait_until(lambda: proxy.sent("put"))
    assert proxy.sent("put") < MORE_THAN_BUFFERS


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


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/b/k", 503, b"<Code>SlowDown</Code>"),
        ("/storage/v1/b/b/o/k", 429, b'"reason": "rateLimitExceeded"'),
    ],
)
def test_a_refusal_has_the_form_of_the_service(
    server: EchoServer,
    proxy: FaultProxy,
    client: http.client.HTTPConnection,
    *,
    path: str,
    status: int,
    told: bytes,
    done: bool,
) -> None:
    """Whether or not the server has done it."""
    proxy.decide = always(Refuse(Refusal.THROTTLED, done))
    answered, body = ask(client, "DELETE", path)
    assert answered == status
    assert told in body
    assert server.seen.qsize() == done


@pytest.mark.parametrize("forward", [True, False])
def test_an_error_in_200_is_told_whether_or_not_it_was_done(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection, forward: bool
) -> None:
    """S3 answers 200 to a complete or copy before it knows how it ends."""
    proxy.decide = first("complete", ErrorIn200("InternalError", forward))
    status, body = ask(client, "POST", "/b/k?uploadId=u")
    assert status == 200
    assert body.startswith(b"<?xml")
    assert b"<Error><Code>InternalError</Code>" in body
    assert server.seen.qsize() == forward
    assert ask(client) == (200, b"body")


def test_a_delay_holds_a_request_back_and_lets_it_pass(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """The server sees nothing before the time, the client has the right answer after it."""
    proxy.decide = always(Delay(PATIENCE))
    begun = time.monotonic()
    client.request("PUT", "/b/k", b"body")
    server.seen.get(timeout=LIMIT)
    assert time.monotonic() - begun >= PATIENCE
    with client.getresponse() as answer:
        assert answer.read() == b"body"


def test_a_held_request_reaches_the_server_after_its_client_died(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """A late write of a killed worker, made at will."""
    event = threading.Event()
    proxy.decide = always(Hold(event))
    with plug(proxy.endpoint) as plain:
        plain.sendall(put_head(4) + b"late")
        wait_until(lambda: proxy.sent("put") == 4)
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
    wait_until(lambda: proxy.sent("put") == 4)
    event.set()
    with client.getresponse() as answer:
        assert (answer.status, answer.read()) == (200, b"body")
    assert proxy.requests[0].status == 200


@pytest.mark.parametrize("fault", [StallBody(), StallAnswer(), Delay(LIMIT * 9)])
def test_the_proxy_ends_though_a_client_still_waits(server: EchoServer, fault: Fault) -> None:
    """A test that failed must not hang in its clean-up; the client is told."""
    with contextlib.ExitStack() as later:
        with FaultProxy(server.endpoint) as proxy:
            proxy.decide = always(fault)
            plain = later.enter_context(plug(proxy.endpoint))
            plain.sendall(put_head(4) + b"body")
            wait_until(lambda: proxy.requests)
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""
