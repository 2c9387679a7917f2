"""Hold the tests' strict GCS server to the rules of resumable sessions, request by request."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.plain import wait_until
from tests.servers.strict_gcs.asking import LIMIT, Asking, crc_of
from tests.servers.strict_gcs.running import StrictGcs, StrictProcess, strict_gcs_running

#: Bytes; chunks are multiples of it.
Q = 256 * 1024

#: An object of two whole quanta and a rest.
DATA = os.urandom(2 * Q + 7)

TOTAL = len(DATA)


@pytest.fixture
def asking(strict_gcs: StrictGcs) -> Asking:
    """Speak to a new bucket."""
    return Asking(strict_gcs, strict_gcs.make_bucket())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StrictProcess]:
    """Run a server that a test may kill."""
    with strict_gcs_running(tmp_path / "data") as process:
        yield process


@contextlib.contextmanager
def sending(asking: Asking, session: str, first: int, data: bytes) -> Iterator[socket.socket]:
    """Begin to send all from `first` on, with these of the bytes so far."""
    connection = http.client.HTTPConnection(asking.netloc, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.putrequest("PUT", session.partition(asking.netloc)[2])
        connection.putheader("Content-Length", str(TOTAL - first))
        connection.putheader("Content-Range", f"bytes {first}-{TOTAL - 1}/{TOTAL}")
        connection.endheaders(data)
        yield connection.sock


def test_a_session_tells_what_it_has_and_makes_the_object_at_the_end(asking: Asking) -> None:
    """308 without a range, 308 with one, 200 with the resource."""
    session = asking.begin("k", total=TOTAL, metadata={"uploader-id": "1"}, crc32c=crc_of(DATA))
    empty = asking.status(session, TOTAL)
    assert (empty.status, "range" in empty.headers) == (308, False)
    first = asking.send(session, DATA[:Q], 0, TOTAL)
    assert (first.status, first.headers["range"]) == (308, f"bytes=0-{Q - 1}")
    assert asking.get("k").status == 404
    assert asking.status(session).headers["range"] == f"bytes=0-{Q - 1}"
    last = asking.send(session, DATA[Q:], Q, TOTAL)
    assert (last.status, last.json["size"], last.json["crc32c"]) == (200, str(TOTAL), crc_of(DATA))
    assert last.json["metadata"] == {"uploader-id": "1"}
    assert asking.get("k").body == DATA


def test_a_whole_object_may_come_in_one_request(asking: Asking) -> None:
    """With a range, without one, in chunks of transfer, with a length that was not told before."""
    assert asking.send(asking.begin("a"), DATA, 0, TOTAL).status == 200
    assert asking.ask("PUT", asking.begin("b"), DATA).status == 200
    pieces = iter([DATA[:10], DATA[10:]])
    chunked = asking.ask("PUT", asking.begin("c"), pieces)
    assert chunked.status == 200
    assert [asking.get(name).body == DATA for name in "abc"] == [True] * 3
    assert asking.status(asking.begin("d"), 0).json["size"] == "0"


def test_an_upload_of_unknown_length_ends_when_the_length_is_told(asking: Asking) -> None:
    """A status query that names the total ends it; one that names none does not."""
    session = asking.begin("k")
    assert asking.send(session, DATA[:Q]).status == 308
    assert asking.status(session).status == 308
    assert asking.get("k").status == 404
    assert asking.status(session, Q).status == 200
    assert asking.get("k").body == DATA[:Q]


@pytest.mark.parametrize("size", [1, Q - 1, Q + 1])
def test_a_chunk_that_is_not_the_last_is_a_multiple_of_256_kib(asking: Asking, size: int) -> None:
    """Else it is refused, nothing of it is kept, and the session goes on."""
    session = asking.begin("k")
    refused = asking.send(session, DATA[:size], 0, TOTAL)
    assert (refused.status, refused.reason) == (400, "invalid")
    assert asking.send(session, DATA[:size]).status == 400
    assert "range" not in asking.status(session).headers
    assert asking.send(session, DATA, 0, TOTAL).status == 200


def test_bytes_that_are_there_are_ignored(asking: Asking) -> None:
    """Also where they differ, and where the chunk begins in the middle of what is there."""
    session = asking.begin("k")
    asking.send(session, DATA[:Q], 0, TOTAL)
    again = asking.send(session, bytes(Q), 0, TOTAL)
    assert again.headers["range"] == f"bytes=0-{Q - 1}"
    backwards = {"Content-Range": f"bytes 5-4/{TOTAL}"}
    assert asking.ask("PUT", session, iter([b"x"]), backwards).status == 400
    assert asking.send(session, DATA[Q - 5 :], Q - 5, TOTAL).status == 200
    assert asking.get("k").body == DATA


def test_a_gap_is_refused(asking: Asking) -> None:
    """Nothing is kept, the session goes on."""
    session = asking.begin("k")
    asking.send(session, DATA[:Q], 0, TOTAL)
    gap = asking.send(session, DATA[2 * Q :], 2 * Q, TOTAL)
    assert gap.status == 400
    assert b"exceeds already uploaded size of 262144 byte" in gap.body
    assert asking.send(session, DATA[Q:], Q, TOTAL).status == 200
    assert asking.get("k").body == DATA


@pytest.mark.parametrize(
    ("told", "size"),
    [
        (f"bytes 0-{Q - 1}/{TOTAL}", Q + 1),
        (f"bytes 0-{TOTAL}/{TOTAL}", TOTAL + 1),
        (f"bytes 5-4/{TOTAL}", 0),
        (f"bytes 0-{3 * Q - 1}/*", 3 * Q),
        (f"bytes */{TOTAL}", 1),
        (f"bytes */{TOTAL + 1}", 0),
        (f"bytes 0-{Q - 1}/{TOTAL + 1}", Q),
        ("0-1", 2),
    ],
)
def test_a_content_range_that_makes_no_sense_is_refused(
    asking: Asking, told: str, size: int
) -> None:
    """It must fit its body, its total, and the total that was told at the begin."""
    session = asking.begin("k", total=TOTAL)
    assert asking.ask("PUT", session, bytes(size), {"Content-Range": told}).status == 400
    assert asking.send(session, DATA, 0, TOTAL).status == 200


def test_of_a_body_that_breaks_off_a_multiple_of_256_kib_is_kept(asking: Asking) -> None:
    """The next request goes on there, and the object is whole."""
    session = asking.begin("k", crc32c=crc_of(DATA))
    with sending(asking, session, 0, DATA[: Q + 5000]):
        pass
    wait_until(lambda: "range" in asking.status(session).headers)
    assert asking.status(session, TOTAL).headers["range"] == f"bytes=0-{Q - 1}"
    assert asking.send(session, DATA[Q + 5000 :], Q + 5000, TOTAL).status == 400
    assert asking.get("k").status == 404
    assert asking.send(session, DATA[Q:], Q, TOTAL).status == 200
    assert asking.get("k").body == DATA


def test_a_request_that_stalls_neither_hides_what_came_nor_holds_the_next_one(
    asking: Asking,
) -> None:
    """A status query sees it; another request goes on, and the stalled one is told 503."""
    session = asking.begin("k")
    with sending(asking, session, 0, DATA[: Q + 5000]) as stalled:
        wait_until(lambda: "range" in asking.status(session).headers)
        assert asking.send(session, DATA[Q : 2 * Q], Q, TOTAL).headers["range"] == (
            f"bytes=0-{2 * Q - 1}"
        )
        stalled.sendall(bytes(Q + 7 - 5000 + Q))
        assert stalled.recv(100).startswith(b"HTTP/1.1 503 ")
    assert asking.send(session, DATA[2 * Q :], 2 * Q, TOTAL).status == 200
    assert asking.get("k").body == DATA


def test_a_session_goes_on_after_the_server_was_killed(own: StrictProcess) -> None:
    """What was persisted is, also of a request that was on its way; a finished one still tells."""
    asking = Asking(own.server, own.server.make_bucket())
    session, other = asking.begin("k", crc32c=crc_of(DATA)), asking.begin("done")
    assert asking.send(other, DATA, 0, TOTAL).status == 200
    with sending(asking, session, 0, DATA[: Q + 5000]):
        wait_until(lambda: "range" in asking.status(session).headers)
        own.kill()
    own.restart()
    assert asking.status(session, TOTAL).headers["range"] == f"bytes=0-{Q - 1}"
    assert asking.send(session, DATA[Q + 5000 :], Q + 5000, TOTAL).status == 400
    assert asking.send(session, DATA[Q:], Q, TOTAL).status == 200
    assert asking.get("k").body == DATA
    assert asking.status(other, TOTAL).json["name"] == "done"


def test_a_finished_session_answers_with_the_object_again(asking: Asking) -> None:
    """A status query, the last chunk, the first one: a lost answer is found so.

    Also when the object has been removed since.
    """
    session = asking.begin("k", "&ifGenerationMatch=0")
    asking.send(session, DATA[:Q], 0, TOTAL)
    made = asking.send(session, DATA[Q:], Q, TOTAL).json
    asking.ask("DELETE", asking.path("k"))
    for again in (
        asking.status(session, TOTAL),
        asking.status(session),
        asking.send(session, DATA[Q:], Q, TOTAL),
        asking.send(session, DATA[:Q], 0, TOTAL),
    ):
        assert (again.status, again.json["generation"]) == (200, made["generation"])
    assert asking.get("k").status == 404


def test_the_precondition_is_held_when_the_object_is_made(asking: Asking) -> None:
    """Not at the begin: the name was free then. The session is over with it."""
    session = asking.begin("k", "&ifGenerationMatch=0")
    asking.put("k", b"another's")
    assert asking.send(session, DATA[:Q], 0, TOTAL).status == 308
    refused = asking.send(session, DATA[Q:], Q, TOTAL)
    assert (refused.status, refused.reason) == (412, "conditionNotMet")
    assert asking.status(session, TOTAL).status == 410
    assert asking.get("k").body == b"another's"


def test_the_precondition_may_be_checked_at_the_begin_too(
    strict_gcs: StrictGcs, asking: Asking
) -> None:
    """A client must cope with either."""
    asking.put("k", b"another's")
    target = f"{asking.uploads}?uploadType=resumable&name=k&ifGenerationMatch=0"
    assert asking.ask("POST", target, b"").status == 200
    with strict_gcs.behaving(check_at_begin=True):
        assert asking.ask("POST", target, b"").status == 412


@pytest.mark.parametrize("told", ["resource", "header", "md5"])
def test_content_with_another_checksum_is_not_stored(asking: Asking, told: str) -> None:
    """By session and by a single put; the session is over with it."""
    wrong: dict[str, Any] = {"crc32c": crc_of(b"x")} if told == "resource" else {}
    wrong |= {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="} if told == "md5" else {}
    headers = {"x-goog-hash": f"crc32c={crc_of(b'x')}"} if told == "header" else {}
    session = asking.begin("k", **wrong)
    refused = asking.send(session, DATA, 0, TOTAL, headers)
    assert (refused.status, b"doesn't match" in refused.body) == (400, True)
    assert asking.status(session, TOTAL).status == 410
    assert asking.put("k", DATA, headers=headers, **wrong).status == 400
    assert asking.get("k").status == 404
    right = {"x-goog-hash": f"crc32c={crc_of(DATA)}"} if told == "header" else {}
    assert asking.put("k", DATA, headers=right, crc32c=crc_of(DATA)).status == 200


def test_a_cancelled_session_is_gone(asking: Asking) -> None:
    """499 for the cancel, 410 for whatever comes later."""
    session = asking.begin("k")
    asking.send(session, DATA[:Q], 0, TOTAL)
    assert asking.ask("DELETE", session).status == 499
    assert asking.status(session, TOTAL).status == 410
    assert asking.send(session, DATA[Q:], Q, TOTAL).status == 410
    assert asking.ask("DELETE", session).status == 410
    assert asking.get("k").status == 404


def test_an_expired_session_is_gone_and_an_unknown_one_not_found(
    strict_gcs: StrictGcs, asking: Asking
) -> None:
    """By age, or when a test says so; a session of another bucket is unknown."""
    old, older = asking.begin("k"), asking.begin("k")
    with strict_gcs.behaving(session_lifetime=0.0):
        assert asking.status(older).status == 410
    assert asking.status(old).status == 308
    strict_gcs.control(expire_sessions=True)
    assert asking.status(old).status == 410
    unknown = asking.status(f"{asking.uploads}?uploadType=resumable&upload_id=none")
    assert (unknown.status, unknown.reason) == (404, "notFound")
    other = Asking(strict_gcs, strict_gcs.make_bucket())
    session_id = asking.begin("k").partition("upload_id=")[2]
    assert other.status(f"{other.uploads}?upload_id={session_id}").status == 404


def test_a_session_uri_is_the_right_to_use_it(strict_gcs: StrictGcs, asking: Asking) -> None:
    """It needs no token; a token that is wrong is refused all the same."""
    with strict_gcs.behaving(token="t"):
        target = f"{asking.uploads}?uploadType=resumable&name=k"
        refused = asking.ask("POST", target, b"")
        assert (refused.status, refused.reason) == (401, "required")
        wrong = {"Authorization": "Bearer x"}
        assert asking.ask("POST", target, b"", wrong).reason == "authError"
        begun = asking.ask("POST", target, b"", {"Authorization": "Bearer t"})
        session = begun.headers["location"]
        assert asking.send(session, DATA[:Q], 0, TOTAL).status == 308
        assert asking.send(session, DATA[Q:], Q, TOTAL, wrong).status == 401
        assert asking.send(session, DATA[Q:], Q, TOTAL).status == 200


def test_a_session_uri_leads_back_the_way_its_begin_came(asking: Asking) -> None:
    """To the host that was asked: a proxy's, or another name of this one."""
    target = f"{asking.uploads}?uploadType=resumable&name=k"
    begun = asking.ask("POST", target, b"", {"Host": "proxy.example:1234"})
    assert begun.headers["location"].startswith("http://proxy.example:1234/upload/storage/v1/b/")


def test_a_put_that_breaks_off_leaves_nothing(asking: Asking) -> None:
    """Neither a new object nor a change of an old one; no file stays either."""
    asking.put("k", b"before")
    connection = http.client.HTTPConnection(asking.netloc, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.putrequest("POST", f"{asking.uploads}?uploadType=media&name=k")
        connection.putheader("Content-Length", str(TOTAL))
        connection.endheaders(DATA[:-1])
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.sock.recv(100) == b""
    assert asking.get("k").body == b"before"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n\r\n{}",
        b"--b\r\n\r\n{\r\n--b\r\n\r\ndata\r\n--b--",
        b'--b\r\n\r\n{"name": "k"}\r\n--b\r\n\r\ndata',
        b'--b\r\n\r\n{"name": "k"}\r\n--b\r\n\r\ndata\r\n--b--x',
        b"--b\r\n\r\n{}\r\n--b\r\n\r\ndata\r\n--b--",
        b'--x\r\n\r\n{"name": "k"}\r\n--b\r\n\r\ndata\r\n--b--',
        b'--c\r\n\r\n{"name": "k"}\r\n--c\r\n\r\ndata\r\n--c--',
    ],
)
def test_a_multipart_body_that_is_not_made_so_is_refused(asking: Asking, body: bytes) -> None:
    """No boundary, no JSON, no end, no name."""
    target = f"{asking.uploads}?uploadType=multipart"
    kind = {"Content-Type": "multipart/related; boundary=b"}
    assert asking.ask("POST", target, body, kind).status == 400
    assert asking.get("k").status == 404


def test_the_media_of_a_multipart_body_is_taken_as_it_is(asking: Asking) -> None:
    """Ends of lines, and what looks like a boundary, belong to it; it may be empty."""
    for media in (b"", b"\r\n", b"--a-boundary--", DATA + b"\r\n--a-boundary", b"x" * 70):
        assert asking.put("k", media).status == 200
        assert asking.get("k").body == media


def test_ranges_are_served_as_they_are_asked_for(asking: Asking) -> None:
    """The first, the last, the middle, past the end, none at all."""
    asking.put("k", b"0123456789")
    for wanted, told in (
        ("bytes=0-0", b"0"),
        ("bytes=3-5", b"345"),
        ("bytes=8-99", b"89"),
        ("bytes=-2", b"89"),
    ):
        reply = asking.get("k", {"Range": wanted})
        assert (reply.status, reply.body) == (206, told)
    assert asking.get("k", {"Range": "bytes=3-5"}).headers["content-range"] == "bytes 3-5/10"
    past = asking.get("k", {"Range": "bytes=10-"})
    assert (past.status, past.headers["content-range"]) == (416, "bytes */10")
    assert asking.get("k", {"Range": "lines=1-2"}).status == 200
    assert asking.get("k").headers["x-goog-hash"].startswith(f"crc32c={crc_of(b'0123456789')}")


def test_a_reader_is_told_304_where_nothing_has_changed(asking: Asking) -> None:
    """And 412 where it wanted another generation."""
    generation = asking.put("k", b"content").json["generation"]
    path = asking.path("k")
    same = asking.ask("GET", f"{path}?ifGenerationNotMatch={generation}")
    assert (same.status, same.body) == (304, b"")
    assert asking.ask("GET", f"{path}?ifGenerationMatch=1").status == 412
    assert asking.ask("GET", f"{path}?generation=1").status == 404
    assert asking.ask("GET", f"{path}?ifGenerationMatch=x").status == 400


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "x" * 1025])
def test_a_name_that_may_not_be_is_refused(asking: Asking, name: str) -> None:
    """By the API's rules for objects' names."""
    assert asking.put(name, b"content").status == 400
    target = f"{asking.uploads}?uploadType=resumable"
    assert asking.ask("POST", target, f'{{"name": "{name}"}}'.encode()).status == 400


def test_metadata_that_may_not_be_is_refused(asking: Asking) -> None:
    """More than 8 KiB, or values that are no strings."""
    assert asking.put("k", b"content", metadata={"a": "x" * 8191}).status == 200
    assert asking.put("k", b"content", metadata={"a": "x" * 8192}).status == 400
    assert asking.put("k", b"content", metadata={"a": 1}).status == 400
