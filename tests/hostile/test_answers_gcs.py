"""Fuzz what Google Cloud Storage, or whoever stands in its place, answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.fuzzing import DEEP_JSON, DOCUMENTS, TEXTS, fuzzed
from uploader.errors import SessionLostError, StoreError
from uploader.store.base import IN_ORDER, ObjectInfo, ObjectMeta
from uploader.store.gcs import resources
from uploader.store.gcs.bucket import Bucket
from uploader.store.gcs.errors import of_refusal, refused
from uploader.store.gcs.sessions import Session, _persisted
from uploader.store.http.refused import MAX_WORDS
from uploader.store.http.reply import Answer

WHAT = "gs://bucket/name"
META = ObjectMeta("0" * 32, 5, 1, None, "", 0)

BODIES = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | st.binary(max_size=60)
    | st.sampled_from(DEEP_JSON)
)
ERRORS = st.fixed_dictionaries(
    {}, optional={"code": DOCUMENTS, "message": DOCUMENTS, "errors": DOCUMENTS}
).map(lambda error: json.dumps({"error": error}).encode())


@fuzzed
@given(st.integers(100, 999), BODIES | ERRORS, st.sampled_from(["insert", "part", "get", "list"]))
@example(403, DEEP_JSON[2], "insert")
@example(
    400, b'{"error": {"message": "\\ud800\\u0000\\u001b[2J", "errors": [{"reason": 1}]}}', "get"
)
def test_a_refusal_is_classified_whatever_it_says(status: int, body: bytes, operation: str) -> None:
    """What is told of it is short, and nothing that a terminal acts on, or SQLite refuses."""
    error = of_refusal(operation, WHAT, refused(status, body))
    assert isinstance(error, StoreError)
    assert len(str(error)) < 2 * MAX_WORDS
    assert str(error).isprintable()


@fuzzed
@given(st.integers(100, 999), st.sampled_from(["upload_id=SECRET", "upload_id=SECRET&x=1"]), TEXTS)
def test_a_refusal_never_repeats_a_session(status: int, query: str, more: str) -> None:
    """Wherever in the answer it stands."""
    url = f"https://host/upload?{query}"
    for body in (
        f"{more} {url} {more}".encode("utf-8", "replace"),
        json.dumps({"error": {"message": f"{more} {url}{more}"}}).encode(),
        json.dumps({"error": {"message": "SECRET", "errors": [{"reason": url}]}}).encode(),
    ):
        assert "SECRET" not in str(of_refusal("part", WHAT, refused(status, body, url)))


RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "size": DOCUMENTS | st.sampled_from(["5", "-1", "9" * 5000, "٣"]),
        "crc32c": DOCUMENTS | st.sampled_from(["AAAAAA==", "AAAA", "!", ""]),
        "generation": DOCUMENTS | st.sampled_from(["1", 1, "1\n2"]),
        "metadata": DOCUMENTS
        | st.fixed_dictionaries({"uploader-crc32c": DOCUMENTS, "uploader-id": DOCUMENTS}),
    },
)


@fuzzed
@given(RESOURCES)
@example({"generation": "1", "size": "x"})
@example({"generation": "1", "metadata": ["x"]})
@example({"generation": "1", "metadata": {"uploader-crc32c": "zz"}})
@example({"generation": "1", "crc32c": "!"})
@example({"generation": "1", "crc32c": "00000000"})
@example({"generation": "\ud800"})
def test_a_resource_is_read_or_is_a_classified_error(resource: dict[str, Any]) -> None:
    """Its generation goes into the database and into URLs; its numbers are numbers."""
    try:
        info = resources.info_of("name", resource, WHAT)
    except StoreError:
        return
    assert isinstance(info, ObjectInfo)
    assert info.size >= 0
    assert info.crc32c is None or 0 <= info.crc32c < 1 << 32
    assert info.etag.isdecimal()


@fuzzed
@given(RESOURCES)
def test_a_receipt_is_made_or_is_a_classified_error(resource: dict[str, Any]) -> None:
    """As it is stored: text that SQLite takes."""
    try:
        receipt = resources.receipt_of(resource, META, WHAT)
    except StoreError:
        return
    assert receipt.etag.encode()
    assert json.loads(json.dumps(receipt.as_json()))["size"] == META.size


@pytest.mark.parametrize("body", [*DEEP_JSON, b"\xff", b"null", b"[]", b'"x"', b"NaN", b""])
def test_a_document_that_is_none_is_a_fault_that_passes(body: bytes) -> None:
    """Not a bug, and no end of the worker."""
    bucket = object.__new__(Bucket)  # nothing is asked
    bucket.name = "bucket"
    with pytest.raises(StoreError, match="no JSON object"):
        bucket.document_in(Answer(200, {}, body), "name")


SESSION = Session("https://host/upload?upload_id=x", 3 << 20)


@fuzzed
@given(TEXTS | st.sampled_from(["bytes=0-5", "bytes=0-" + "9" * 30, "bytes=0-" + "9" * 5000, ""]))
@example("bytes=0-" + "9" * 5000)
@example("bytes=0-٣")
def test_how_far_a_session_has_got_is_a_number_within_it(told: str) -> None:
    """A service cannot have more than the whole: what is more than that, it does not have."""
    got = _persisted(Answer(308, {"range": told}, b""), SESSION)
    assert 0 <= got <= SESSION.size


@fuzzed
@given(
    TEXTS | DOCUMENTS.map(json.dumps) | st.sampled_from(["[" * 100_000, '{"uri": 1, "size": "x"}'])
)
def test_a_session_in_the_database_is_read_or_given_up(text: str) -> None:
    """Its upload begins another one."""
    try:
        session = Session.of(IN_ORDER + text)
    except SessionLostError:
        return
    assert isinstance(session.uri, str)
    assert session.size > 0
