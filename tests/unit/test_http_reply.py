"""Read answers of HTTP in pieces of any size, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.store.http.reply import BODY_MAX, HEAD_MAX, NoHttpError, read_answer

WHOLE = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 5\r\n\r\nhello'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;some=thing\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)


def pieces(said: bytes, size: int = 1 << 16) -> Callable[[], bytes]:
    """Return how to receive what a service said, `size` bytes at a time, and then its end."""
    left = [said[at : at + size] for at in range(0, len(said), size)]
    return lambda: left.pop(0) if left else b""


@given(st.sampled_from([WHOLE, CHUNKED]), st.integers(1, 200))
def test_an_answer_is_the_same_in_pieces_of_any_size(said: bytes, size: int) -> None:
    """Also where a piece ends inside of a line's end."""
    answer, keeps = read_answer(pieces(said, size), "PUT")
    assert (answer.status, answer.body, keeps) == (200, b"hello", True)


@given(st.sampled_from([WHOLE, CHUNKED]), st.data())
def test_an_answer_that_is_cut_off_anywhere_is_an_error(said: bytes, data: st.DataObject) -> None:
    """Never a shorter answer."""
    cut = said[: data.draw(st.integers(0, len(said) - 1))]
    with pytest.raises(ConnectionError):
        read_answer(pieces(cut), "PUT")


def test_names_of_headers_are_in_lower_case() -> None:
    """And their values without the space around them."""
    said = b'HTTP/1.1 200 OK\r\nETag:  "x" \r\nX-Amz-Meta-A:b:c\r\nContent-Length: 0\r\n\r\n'
    answer, _ = read_answer(pieces(said), "PUT")
    assert answer.headers == {"etag": '"x"', "x-amz-meta-a": "b:c", "content-length": "0"}


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("HEAD", 404), ("PUT", 204), ("PUT", 304)]
)
def test_some_answers_have_no_body(method: str, status: int) -> None:
    """Whatever length they tell."""
    said = b"HTTP/1.1 %d X\r\nContent-Length: 1000\r\n\r\n" % status
    answer, keeps = read_answer(pieces(said), method)
    assert (answer.status, answer.body, keeps) == (status, b"", True)


def test_what_comes_before_the_answer_is_passed_over() -> None:
    """As 100 Continue, which nobody asked for."""
    answer, _ = read_answer(pieces(b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE), "PUT")
    assert answer.status == 200


@pytest.mark.parametrize(
    "said",
    [
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        WHOLE.replace(b"ETag", b"Connection: Close\r\nETag"),
        WHOLE + b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["an old service", "it said so", "more than was asked for"],
)
def test_a_connection_is_not_used_again(said: bytes) -> None:
    """What comes next on it would be taken for the next answer."""
    answer, keeps = read_answer(pieces(said), "PUT")
    assert (answer.body, keeps) == (b"hello", False)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 many OK\r\n\r\n",
        b"x" * (HEAD_MAX + 1),
        WHOLE.replace(b": 5", b": %d" % (BODY_MAX + 1)),
        CHUNKED.replace(b"\r\n3\r\n", b"\r\n-3\r\n"),
        CHUNKED.replace(b"\r\n3\r\n", b"\r\nnumber\r\n"),
        CHUNKED.replace(b"\r\n3\r\n", b"\r\n2\r\n"),
        CHUNKED[:45] + b"\r\n\r\n" + (b"40000\r\n" + b"x" * 0x40000 + b"\r\n") * 5,
    ],
    ids=[
        *("another protocol", "no status", "endless head", "long body"),
        *("below zero", "no number", "wrong size", "endless chunks"),
    ],
)
def test_what_is_no_answer_of_s3_is_refused(said: bytes) -> None:
    """Before it fills the memory."""
    with pytest.raises(NoHttpError):
        read_answer(pieces(said), "PUT")


@pytest.mark.parametrize("length", [b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n"])
def test_a_body_that_ends_with_the_connection_may_have_been_cut_off(length: bytes) -> None:
    """Nobody can tell, so it does not count."""
    with pytest.raises(ConnectionError):
        read_answer(pieces(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nhello"), "PUT")
