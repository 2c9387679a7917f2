"""Hold the fault proxy to what it tells of GCS's requests, whose heads name no object."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.servers.echo import EchoServer, echo_running
from tests.servers.faults import Fault, ResetBeforeBody
from tests.servers.plain import LIMIT, ask, keep_connection, plug, wait_until
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request

UPLOAD = "/upload/storage/v1/b/b/o"
RESOURCE = json.dumps({"name": "a/k", "metadata": {"uploader-id": "u"}}).encode()
JSON = "Content-Type: application/json; charset=UTF-8\r\n"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """Stand in for GCS."""
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


def related(content: bytes) -> tuple[bytes, bytes]:
    """Make head and body of an upload in one request."""
    body = b"--x\r\n" + JSON.encode() + b"\r\n" + RESOURCE + b"\r\n--x\r\n\r\n" + content
    body += b"\r\n--x--"
    head = (
        f"POST {UPLOAD}?uploadType=multipart HTTP/1.1\r\nHost: h\r\n"
        f"Content-Type: multipart/related; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def test_an_upload_is_known_by_its_name_when_its_fault_is_decided(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """The resource is waited for, however slowly it comes, and all passes unchanged."""
    asked: list[tuple[str, dict[str, str]]] = []

    def decide(request: Request) -> Fault | None:
        asked.append((request.key, dict(request.metadata)))
        return None

    proxy.decide = decide
    head, body = related(bytes(range(256)) * 2000)
    with plug(proxy.endpoint) as plain:
        plain.sendall(head + body[:60])
        wait_until(lambda: proxy.requests and proxy.requests[0].body_bytes == 60)
        assert asked == []
        plain.sendall(body[60:])
        assert server.seen.get(timeout=LIMIT).body == body
    assert asked == [("a/k", {"uploader-id": "u"})]
    assert proxy.sent(Kind.PUT) == len(body)


def test_a_resource_may_come_in_chunks(server: EchoServer, proxy: FaultProxy) -> None:
    """Their framing is not part of it."""
    head = f"POST {UPLOAD}?uploadType=resumable HTTP/1.1\r\nHost: h\r\n{JSON}"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    half = len(RESOURCE) // 2
    chunks = [b"%x\r\n%s\r\n" % (len(one), one) for one in (RESOURCE[:half], RESOURCE[half:])]
    with plug(proxy.endpoint) as plain:
        plain.sendall(head.encode() + chunks[0])
        plain.sendall(chunks[1] + b"0\r\n\r\n")
        assert server.seen.get(timeout=LIMIT).body == RESOURCE
    (request,) = proxy.requests
    assert (request.kind, request.key, request.body_bytes) == (Kind.BEGIN, "a/k", len(RESOURCE))


def test_a_client_that_waits_to_be_invited_is_invited(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """Once, though the server invites it too."""
    head = f"POST {UPLOAD}?uploadType=resumable HTTP/1.1\r\nHost: h\r\n{JSON}"
    head += f"Expect: 100-continue\r\nContent-Length: {len(RESOURCE)}\r\n\r\n"
    with plug(proxy.endpoint) as plain:
        plain.sendall(head.encode())
        assert plain.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(RESOURCE)
        assert server.seen.get(timeout=LIMIT).body == RESOURCE
        assert plain.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_request_without_a_resource_passes(
    server: EchoServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """What is wrong with it is for the server to say."""
    headers = {"Content-Type": "application/json"}
    client.request("POST", f"{UPLOAD}?uploadType=resumable", b"{no json", headers)
    with client.getresponse() as answer:
        assert answer.read() == b"{no json"
    assert ask(client, "POST", "/storage/v1/b/b/o/s/rewriteTo/b/b/o/k", b"")[0] == 200
    assert [one.key for one in proxy.requests] == ["", "k"]


def test_a_fault_before_the_body_comes_after_its_beginning(
    server: EchoServer, proxy: FaultProxy
) -> None:
    """The rest is left unread."""
    proxy.decide = lambda _: ResetBeforeBody()
    head, body = related(bytes(1_000_000))
    with plug(proxy.endpoint) as plain:
        plain.sendall(head + body[:1000])
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    assert proxy.sent(Kind.PUT) == 1000
    assert server.seen.empty()


def test_a_request_of_a_session_is_known_by_the_name_it_was_begun_with(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Whoever sends it, by whatever connection; not one that was begun elsewhere."""
    headers = {"Content-Type": "application/json"}
    client.request("POST", f"{UPLOAD}/session-of-u?uploadType=resumable", RESOURCE, headers)
    client.getresponse().read()
    with keep_connection(proxy.endpoint) as another:
        for session in ("u", "elsewhere"):
            ask(another, "PUT", f"{UPLOAD}?uploadType=resumable&upload_id={session}")
    assert [one.session for one in proxy.requests] == ["u", "u", "elsewhere"]
    assert [one.key for one in proxy.requests] == ["a/k", "a/k", ""]
