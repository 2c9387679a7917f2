"""The endpoint: whatever comes to it, the loop that turns it never waits."""

from __future__ import annotations

import errno
import logging
import random
import socket
import time as system_time
from collections.abc import Callable, Iterator

import pytest

from tests.clock import Clock
from uploader.drain.observer import Load
from uploader.observe import metrics_http
from uploader.observe.metrics_http import CLIENTS, LISTEN_AGAIN, REQUEST, TIME_LIMIT, Endpoint

BUSY = Load(1, 4, 4)
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n"
BODY = b"uploader_workers 4\n"


def body_for(accept: str) -> tuple[bytes, str]:
    """Answer with the Accept header beside it."""
    return BODY, f"text/plain; seen={accept.strip()}"


class Served:
    """An endpoint on a free port, turned by the test."""

    def __init__(self, time: Clock, respond: Callable[[str], tuple[bytes, str]] = body_for) -> None:
        self.time = time
        self.endpoint = Endpoint("127.0.0.1", 0, respond)
        self.endpoint.tick(BUSY)
        self.port = int(str(self.endpoint.url).rpartition(":")[2].partition("/")[0])

    def connect(self) -> socket.socket:
        """Return a client that never waits for long."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        client.settimeout(5)
        return client

    def turn(self, times: int = 1) -> None:
        """Let the loop turn, each time a slice later."""
        for _ in range(times):
            self.time.now += metrics_http.TURN
            self.endpoint.tick(BUSY)

    def ask(self, request: bytes) -> bytes:
        """Return all that is answered to a request that comes at once."""
        with self.connect() as client:
            client.sendall(request)
            self.turn()
            return everything(client)


def everything(client: socket.socket) -> bytes:
    """Read to the end."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
def served(time: Clock) -> Iterator[Served]:
    """An endpoint that listens."""
    served = Served(time)
    yield served
    served.endpoint.close()


def test_a_scrape_is_answered_in_one_turn_of_the_loop(served: Served) -> None:
    """An idle loop turns every 0.4 s; a second turn would make a scrape take twice as long."""
    head, _, body = served.ask(GET).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; seen=text/plain\r\n")
    assert f"Content-Length: {len(BODY)}".encode() in head
    assert body == BODY
    served.turn()
    assert not served.endpoint._clients


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics SPDY/3\r\n\r\n", b"400 Bad Request"),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\n:::\r\n\xff\x00\r\n\r\n", b"200 OK"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * REQUEST, b"431 "),
    ],
)
def test_what_is_no_scrape_is_told_so(served: Served, request_: bytes, status: bytes) -> None:
    """Each by its number, and nothing is raised into the loop."""
    assert served.ask(request_).startswith(b"HTTP/1.1 " + status)


def test_a_head_request_gets_no_body(served: Served) -> None:
    """Only what the headers of a GET would be."""
    head, _, body = served.ask(GET.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(BODY)}".encode() in head
    assert body == b""


def test_a_slow_request_is_taken_bit_by_bit(served: Served) -> None:
    """Others are answered meanwhile."""
    with served.connect() as slow:
        for byte in GET:
            slow.sendall(bytes([byte]))
            served.turn()
        assert everything(slow).endswith(BODY)


def test_clients_that_stall_are_dropped_and_keep_nobody_waiting(served: Served) -> None:
    """More of them than are kept: the oldest make room, and a scrape is answered at once."""
    stalled = []
    for _ in range(CLIENTS + 10):
        stalled.append(served.connect())
        stalled[-1].sendall(b"GET /metrics")
        served.turn()
    assert len(served.endpoint._clients) == CLIENTS
    assert served.ask(GET).endswith(BODY)
    assert stalled[0].recv(1) == b""  # dropped
    served.time.now += TIME_LIMIT
    served.turn()
    assert not served.endpoint._clients
    for client in stalled:
        client.close()


def test_a_client_that_reads_nothing_is_dropped(time: Clock) -> None:
    """What the kernel does not take waits here, for a while, and nobody waits for it."""
    served = Served(time, lambda accept: (b"x" * (64 << 20), "text/plain"))
    with served.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(GET)
        began = system_time.monotonic()
        served.turn(5)
        assert system_time.monotonic() - began < 5
        assert len(served.endpoint._clients) == 1
        time.now += TIME_LIMIT
        served.turn()
        assert not served.endpoint._clients
    served.endpoint.close()


def test_a_client_that_goes_away_is_forgotten(served: Served) -> None:
    """Before its request, within it, and by a reset."""
    for sent in (b"", b"GET /met"):
        client = served.connect()
        client.sendall(sent)
        client.close()
    reset = served.connect()
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    reset.close()
    served.turn(3)
    assert not served.endpoint._clients
    assert served.ask(GET).endswith(BODY)


def test_turns_of_a_busy_loop_cost_nothing_between_slices(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns a thousand times as often while answers come."""
    slices: list[float] = []
    monkeypatch.setattr(served.endpoint, "_accept", lambda listener, now: slices.append(now))
    for _ in range(1000):
        served.time.now += metrics_http.TURN / 100
        served.endpoint.tick(BUSY)
    assert 9 <= len(slices) <= 11


def test_a_failure_to_read_the_spool_is_a_503_and_is_logged(
    time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop meets the same, and says what it is."""

    def fail(accept: str) -> tuple[bytes, str]:
        raise OSError(errno.EIO, "disk gone")

    served = Served(time, fail)
    assert served.ask(GET).startswith(b"HTTP/1.1 503 ")
    assert "no metrics for a scrape: [Errno 5] disk gone" in caplog.text
    served.endpoint.close()


def test_a_taken_port_is_told_once_and_had_when_it_is_free(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """Uploads go on; an agent that takes another's place gets its port."""
    caplog.set_level(logging.INFO, "uploader")
    second = Endpoint("127.0.0.1", served.port, body_for)
    for _ in range(3):
        served.time.now += LISTEN_AGAIN
        second.tick(BUSY)
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"no metrics at 127.0.0.1 port {served.port}: the port is taken" in line
    assert "--metrics-file DIR" in line
    served.endpoint.close()
    served.time.now += LISTEN_AGAIN
    second.tick(BUSY)
    assert second.url == f"http://127.0.0.1:{served.port}/metrics"
    assert caplog.records[-1].getMessage().startswith(f"metrics at {second.url} (this machine only")
    second.close()


def test_an_address_that_is_not_ours_is_told_too(
    time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """192.0.2.1 belongs to nobody (RFC 5737)."""
    endpoint = Endpoint("192.0.2.1", 0, body_for)
    endpoint.tick(BUSY)
    assert "Cannot assign requested address" in caplog.text


def test_it_listens_only_while_this_process_does_the_work(time: Clock) -> None:
    """A drain that waits for an agent must not take the agent's port."""
    endpoint = Endpoint("127.0.0.1", 0, body_for)
    endpoint.tick(None)
    assert endpoint.url is None


def test_any_address_takes_both_kinds(time: Clock) -> None:
    """`::` is for IPv4 too, as a pod may have either."""
    endpoint = Endpoint("::", 0, body_for)
    endpoint.tick(BUSY)
    assert str(endpoint.url).startswith("http://[::]:")
    port = int(str(endpoint.url).rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(GET)
        time.now += 1
        endpoint.tick(BUSY)
        assert everything(client).endswith(BODY)
    endpoint.close()


def test_no_request_is_more_than_told_what_is_wrong_with_it() -> None:
    """Bytes at random, and a good request with some of its bytes replaced."""
    dice = random.Random(7)
    for _ in range(2000):
        request = bytearray(GET if dice.random() < 0.7 else dice.randbytes(dice.randrange(80)))
        for _ in range(dice.randrange(6)):
            request[dice.randrange(len(request) or 1) : 1] = dice.randbytes(dice.randrange(3))
        status = metrics_http._answer(bytes(request) + b"\r\n\r\n", body_for).split(b" ")[:2]
        assert status[0] == b"HTTP/1.1"
        assert int(status[1]) in (200, 400, 404, 405)
