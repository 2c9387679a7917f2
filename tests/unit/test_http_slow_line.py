"""Shows that a slow line is no stall: a body may take as long as it moves at all."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from uploader.checksum import crc32c
from uploader.model import PutMode
from uploader.place import Capabilities, Place
from uploader.store.base import ObjectMeta
from uploader.store.body import Body
from uploader.store.opening import open_store

SIZE = 2 << 20  #: bytes; more than the buffers of the sockets hold
LINE = 512 << 10  #: bytes per second that the service takes: a MiB takes two seconds


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Return a service behind a slow line, with little room for what is on the way."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            got = b""
            while b"\r\n\r\n" not in got:
                got += connection.recv(1024)
            left = SIZE - len(got.partition(b"\r\n\r\n")[2])
            while left and (data := connection.recv(min(left, LINE // 20))):
                left -= len(data)
                time.sleep(0.05)  # this is the line, not a synchronisation
            if not left:
                connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n')

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()
    listener.close()


def test_a_slow_line_is_no_stall(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is whether anything moves, not how long a chunk of a MiB takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    place = Place.of(f"s3://bucket?endpoint={endpoint}&stall_timeout=1s")
    store = open_store(replace(place, capabilities=Capabilities(endpoint)))
    content = os.urandom(SIZE)
    (tmp_path / "blob").write_bytes(content)
    value = crc32c(content)
    body = Body(str(tmp_path / "blob"), 0, SIZE, value)
    meta = ObjectMeta("a" * 32, SIZE, value, None, "run", 0)
    assert store.put("name", body, PutMode.CREATE, meta).size == SIZE
    store.close()
