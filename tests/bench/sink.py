"""Reads requests and throws their bodies away: an S3 endpoint that costs as little as it can.

- The bytes of objects and parts are discarded inside the kernel (`MSG_TRUNC`, tcp(7)): they are
  never copied. While a body arrives the kernel gathers `WAKE` bytes before it wakes the process.
- One process, one thread, all connections: nothing is unevenly shared out.
- Signatures are not looked at. Chunked bodies are refused: by plain HTTP no peer sends them.

    python -m tests.bench.sink PORT
"""

from __future__ import annotations

import mmap
import re
import select
import socket
import sys
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from tests.bench.sink_objects import Answer, Objects, RefusedError, Request

if TYPE_CHECKING:
    from collections.abc import Generator

HEAD_MAX = 64 << 10  #: bytes of a request line and its headers
FIRST = 8 << 10  #: bytes read while a head is awaited; more would copy bytes of bodies
DISCARD = 64 << 20  #: bytes that one system call may throw away
WAKE = 512 << 10  #: bytes
BACKLOG = 512  #: connections that wait to be accepted: s5cmd opens 256 at once
SEND_LIMIT = 10.0  #: seconds for an answer that does not fit into the socket's buffer

#: Where the bytes would go if they were copied. Nobody writes to it, so it takes no memory.
_NOWHERE = mmap.mmap(-1, DISCARD)

_HEADERS = re.compile(
    rb"\r\n(content-length|content-md5|expect|if-none-match|transfer-encoding"
    rb"|x-amz-copy-source|x-amz-decoded-content-length|x-amz-checksum-[a-z0-9]+):[ \t]*([^\r]*)",
    re.IGNORECASE,
)


def serve(port: int) -> None:
    """Listen on a port of 127.0.0.1 until killed."""
    objects = Objects()
    talks: dict[int, Generator[None]] = {}
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listener:
        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == listener.fileno():
                    client, _ = listener.accept()
                    talks[client.fileno()] = _talk(client, objects)
                    poll.register(client, select.EPOLLIN)
                elif next(talks[descriptor], talks) is talks:
                    del talks[descriptor]


def _talk(client: socket.socket, objects: Objects) -> Generator[None]:
    """Answer one client's requests; yield whenever more of one must come."""
    with client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield from _answer_all(client, objects)
        except ConnectionError:
            return


def _answer_all(client: socket.socket, objects: Objects) -> Generator[None]:
    came = b""
    while True:
        while (end := came.find(b"\r\n\r\n")) < 0:
            more = yield from _receive(client, FIRST)
            if not more or len(came) > HEAD_MAX:
                return
            came += more
        request = _parse(came[: end + 2])
        came = came[end + 4 :]
        if "transfer-encoding" in request.headers:
            refused = RefusedError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")
            _send(client, _bytes_of(refused.answer))
            return
        if not came and "expect" in request.headers:
            _send(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        came = yield from _take_body(client, request, came)
        _send(client, _bytes_of(objects.answer(request)))
        if not came:  # and a client that waits for its answer sends nothing: do not ask in vain
            yield


def _take_body(
    client: socket.socket, request: Request, came: bytes
) -> Generator[None, None, bytes]:
    """Keep a document, throw anything else away; return what came after it."""
    length = int(request.headers.get("content-length", 0))
    if request.method == "POST":
        while len(came) < length:
            more = yield from _receive(client, length - len(came))
            if not more:
                raise ConnectionResetError
            came += more
        request.document = came[:length]
    elif len(came) < length:
        yield from _discard(client, length - len(came))
    return came[length:]


def _receive(client: socket.socket, most: int) -> Generator[None, None, bytes]:
    while True:
        try:
            return client.recv(most)
        except BlockingIOError:
            yield


def _discard(client: socket.socket, left: int) -> Generator[None]:
    wake = 1
    while left:
        try:
            came = client.recv_into(_NOWHERE, min(left, DISCARD), socket.MSG_TRUNC)
        except BlockingIOError:
            if wake != min(left, WAKE):
                wake = min(left, WAKE)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake)
            yield
            continue
        if not came:
            raise ConnectionResetError
        left -= came
    if wake != 1:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _parse(head: bytes) -> Request:
    method, target, _ = head[: head.index(b"\r\n")].decode("latin-1").split(" ", 2)
    path, _, query = target.partition("?")
    bucket, _, key = path[1:].partition("/")
    return Request(
        method,
        bucket,
        unquote(key),
        dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        {name.decode().lower(): value.decode() for name, value in _HEADERS.findall(head)},
    )


def _bytes_of(answer: Answer) -> bytes:
    document = answer.document.encode()
    headers = {"Content-Length": str(len(document)), **answer.headers}
    if answer.status is HTTPStatus.NO_CONTENT:
        del headers["Content-Length"]
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return _start_of(answer.status, int(time.time())) + told.encode() + b"\r\n" + document


@lru_cache(maxsize=16)
def _start_of(status: HTTPStatus, now: int) -> bytes:
    """Return what all answers of a second begin with."""
    start = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: {formatdate(now, usegmt=True)}\r\n"
        f"Server: sink\r\nx-amz-request-id: {now}\r\nContent-Type: application/xml\r\n"
    )
    return start.encode()


def _send(client: socket.socket, data: bytes) -> None:
    sent = client.send(data)
    if sent < len(data):  # a long list: others wait for it, off the clock
        client.settimeout(SEND_LIMIT)
        client.sendall(data[sent:])
        client.setblocking(False)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
