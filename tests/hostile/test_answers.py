"""Fuzz what services answer: each answer is read, or is an error that is classified.

None is waited for without end, and nothing of one gets into the next request.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.fuzzing import TEXTS, fuzzed
from uploader.errors import StoreError
from uploader.store.base import ObjectInfo
from uploader.store.http.refused import MAX_WORDS, RefusedError, classified
from uploader.store.http.reply import Answer, read_answer
from uploader.store.s3 import answers
from uploader.store.s3.dialect import VERBS, understood
from uploader.store.s3.errors import of_refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

ENOUGH = 16 << 20  #: bytes after which a reader that wants more has no limit

HEADS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 5",
            b"Content-Length: -1",
            b"Content-Length: " + b"9" * 5000,
            b"Content-Length: 5, 5",
            b"Content-Length: 0x5",
            b"Content-Length: \xb2",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Connection: close",
            b"ETag: \x00",
            b"ETag: a\nb",
            b"ETag: a\rb: c",
            b": ",
            b"no colon",
            b"x" * 70_000,
        ]
    )
    | st.binary(max_size=30),
    max_size=5,
).map(b"\r\n".join)
STATUSES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 100",
        b"HTTP/1.1 000 x",
        b"HTTP/1.1 999",
        b"HTTP/1.0 503",
        b"HTTP/1.1",
        b"HTTP/2 200",
        b"ICY 200 OK",
        b"HTTP/1.1 \xb2\xb2\xb2",
        b"HTTP/1.1 -20",
    ]
)
BODIES = st.sampled_from(
    [b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"-5\r\n", b"ffffffffffff\r\n", b"0x5\r\nhello\r\n"]
) | st.binary(max_size=40)
WHOLE = st.tuples(STATUSES, HEADS, BODIES).map(lambda all_of: b"%b\r\n%b\r\n\r\n%b" % all_of)


@fuzzed
@given(WHOLE | st.binary(max_size=120), st.sampled_from(["GET", "HEAD", "PUT"]))
def test_an_answer_is_read_or_is_an_error_on_the_way(said: bytes, method: str) -> None:
    """Whatever comes: no other error, and no header that would be two when it is sent back."""
    pieces = iter([said[at : at + 7] for at in range(0, len(said), 7)])
    try:
        answer, _ = read_answer(lambda: next(pieces, b""), method)
    except OSError:
        return
    assert 200 <= answer.status <= 999
    for value in answer.headers.values():
        assert not {"\r", "\n", "\0"} & set(value)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "status zero": (b"", b"HTTP/1.1 000 \r\n\r\n" * 100),
    "first line": (b"HTTP/1.1 200 ", b"x" * 4096),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 500),
    "chunks of one byte": (HEAD, b"1\r\nx\r\n" * 500),
    "chunk extensions": (HEAD, b"1;" + b"x" * 60_000 + b"\r\nx\r\n"),
    "large chunks": (HEAD, b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"),
    "one huge chunk": (HEAD + b"fffffffffffffffffff\r\n", b"x" * 65_536),
    "trailers": (HEAD + b"0\r\n", b"a: b\r\n" * 500),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", b"x" * 65_536),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
    "zeros": (b"", bytes(65_536)),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_answer_without_end_is_given_up(what: str) -> None:
    """After some MiB at most: neither time nor memory is the service's to take."""
    begin, again = ENDLESS[what]
    taken = 0

    def receive() -> bytes:
        nonlocal taken
        data = begin if not taken and begin else again
        taken += len(data)
        assert taken < ENOUGH, "it would read for ever"
        return data

    with pytest.raises(OSError, match=r"too long|no answer of HTTP|cut off"):
        read_answer(receive, "GET")


@pytest.mark.parametrize("header", [b"etag: a\nx-amz-acl: public-read", b"etag: a\rb", b"etag: \0"])
def test_a_header_that_would_be_two_is_no_answer(header: bytes) -> None:
    """An ETag goes back as `If-Match`: a line's end in it would begin a header of the service's."""
    said = iter([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + header + b"\r\n\r\n"])
    with pytest.raises(ConnectionError, match="no answer of HTTP"):
        read_answer(lambda: next(said, b""), "GET")


BOMB = (
    b'<!DOCTYPE b [<!ENTITY a "ha">'
    + b"".join(
        b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 40) for n in range(12)
    )
    + b"]><ListBucketResult><Prefix>&m;</Prefix></ListBucketResult>"
)  # fmt: skip
XML: dict[str, bytes] = {
    "bomb": BOMB,
    "quadratic": b'<!DOCTYPE b [<!ENTITY a "' + b"a" * 50_000 + b'">]><ListBucketResult>'
    + b"&a;" * 20_000 + b"</ListBucketResult>",
    "entity of a file": b'<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b"<ListBucketResult><Prefix>&a;</Prefix></ListBucketResult>",
    "entity of a URL": b'<!DOCTYPE b [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]>'
    b"<ListBucketResult/>",
    "deep": b"<a>" * 200_000 + b"</a>" * 200_000,
    "deep and cut off": b"<ListBucketResult>" * 50_000,
    "unknown encoding": b'<?xml version="1.0" encoding="rot13"?><ListBucketResult/>',
    "no such encoding": b'<?xml version="1.0" encoding="x-y-z"?><ListBucketResult/>',
    "wide encoding": b'<?xml version="1.0" encoding="shift_jis"?><ListBucketResult/>',
    "other encoding": '<?xml version="1.0" encoding="utf-16"?><ListBucketResult/>'.encode("utf-16"),
    "nul": b"<ListBucketResult>\0</ListBucketResult>",
    "no xml": b"{}",
    "html": b"<!doctype html><p>proxy",
    "zeros": bytes(10_000),
}  # fmt: skip


@pytest.mark.parametrize("what", XML)
@pytest.mark.parametrize("status", [200, 503])
def test_a_hostile_document_is_an_answer_or_an_error(what: str, status: int) -> None:
    """At once, without a look at a file or another host, and without memory to speak of."""
    for operation in ("list_objects_v2", "complete_multipart_upload", "put_object"):
        answer = Answer(status, {"etag": '"x"', "content-length": "0"}, XML[what])
        try:
            told = repr(understood(operation, answer))
        except (RefusedError, ConnectionError) as error:
            told = repr(error)
        assert len(told) < 100_000
        assert "root:" not in told


MARKUP = st.sampled_from(
    ["<", ">", "&", "<Error>", "</Error>", "<Code>", "</Code>", "&amp;", "]]>"]
)
DOCUMENT = st.lists(MARKUP | TEXTS, max_size=12).map("".join)
ODD_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "etag",
            "content-length",
            "x-amz-checksum-crc32c",
            "x-amz-checksum-type",
            "x-amz-version-id",
            "x-amz-meta-uploader-crc32c",
            "x-amz-meta-uploader-id",
            "x-amz-meta-uploader-size",
        ]
    ),
    TEXTS | st.sampled_from(["", "0", "-1", "AAAAAA==", "AAAA", "zz", "ffffffff", "AAAAAA==-3"]),
    max_size=6,
)


@fuzzed
@given(st.integers(200, 599), ODD_HEADERS, DOCUMENT, st.sampled_from([*VERBS]))
@example(200, {"content-length": "9" * 5000}, "", "head_object")
@example(200, {"content-length": "1", "x-amz-meta-uploader-crc32c": "zz"}, "", "head_object")
@example(200, {"content-length": "1", "x-amz-checksum-crc32c": "!"}, "", "head_object")
@example(200, {"content-length": "1", "x-amz-checksum-crc32c": "00000000"}, "", "head_object")
@example(
    403,
    {},
    "<Error><Code>\x1b[2J</Code><Message>" + "x" * 99_999 + "</Message></Error>",
    "put_object",
)
def test_an_answer_of_s3_is_understood_or_classified(
    status: int, headers: dict[str, str], document: str, operation: str
) -> None:
    """What is told of it is short, and nothing that a terminal acts on."""
    answer = Answer(status, headers, document.encode("utf-8", "surrogatepass"))
    try:
        with classified("Operation", "s3://bucket/key", of_refusal):
            found = understood(operation, answer)
            if "ContentLength" in found:
                info = answers.info_of("name", found)
                assert isinstance(info, ObjectInfo)
                assert info.size >= 0
                assert info.crc32c is None or 0 <= info.crc32c < 1 << 32
    except StoreError as error:
        _is_tame(str(error))


def _is_tame(message: str) -> None:
    assert len(message) < 2 * MAX_WORDS
    assert message.isprintable(), message


@fuzzed
@given(st.lists(st.binary(min_size=500, max_size=3000), min_size=1, max_size=5))
def test_what_repeats_for_ever_is_given_up(pieces: Iterable[bytes]) -> None:
    """Also where nobody has thought of a name for it."""
    stream = itertools.cycle(pieces)
    taken: list[int] = []

    def receive() -> bytes:
        data = next(stream)
        taken.append(len(data))
        assert len(taken) * 500 < ENOUGH, "it would read for ever"
        return data

    with pytest.raises(OSError, match=r"too long|no answer of HTTP|cut off"):
        read_answer(receive, "GET")


def test_words_of_a_service_are_plain_and_short() -> None:
    """They are stored with the upload, logged at each attempt, and shown on terminals."""
    refused: Any = RefusedError(
        403, "Access\x1b[31mDenied\ud800", "no\r\nFake log line\0" + "x" * 9999
    )
    assert refused.code == "Access [31mDenied"
    assert refused.message.startswith("no  Fake log line xxx")
    assert len(refused.message) == MAX_WORDS
