"""Speak HTTP to a proxy as a test of it needs: by the book, or a byte at a time."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds. What should happen does so in milliseconds; this is for when it does not.
LIMIT = 10.0

#: Seconds between two looks at what another thread does.
POLL_INTERVAL = 0.005


@contextlib.contextmanager
def keep_connection(endpoint: str) -> Iterator[http.client.HTTPConnection]:
    """Be a client that keeps its connection from one request to the next."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=LIMIT)
    with contextlib.closing(connection):
        yield connection


def ask(
    client: http.client.HTTPConnection, method: str = "PUT", path: str = "/b/k", body: Any = b"body"
) -> tuple[int, bytes]:
    """Send a request, return the answer's status and body."""
    client.request(method, path, body)
    with client.getresponse() as answer:
        return answer.status, answer.read()


@contextlib.contextmanager
def plug(endpoint: str) -> Iterator[socket.socket]:
    """Connect without a client's manners."""
    host, _, port = urlsplit(endpoint).netloc.partition(":")
    with socket.create_connection((host, int(port)), LIMIT) as plain:
        yield plain


def put_head(length: int, path: str = "/b/k", more: str = "") -> bytes:
    """Make the head of a PUT."""
    return f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def wait_until(holds: Callable[[], object]) -> None:
    """Look at the proxy's own thread again and again until it is so."""
    waited = threading.Event()
    for _ in range(int(LIMIT / POLL_INTERVAL)):
        if holds():
            return
        waited.wait(POLL_INTERVAL)
    raise AssertionError("it did not come to be so in time")
