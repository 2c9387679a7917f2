"""Hold which request gets which fault: kinds of requests, and the functions that decide."""

from __future__ import annotations

import pytest

from tests.servers.faults import (
    DropAnswer,
    ResetAfterBody,
    ResetBeforeBody,
    StallAnswer,
    either,
    first,
    share,
)
from tests.servers.requests import Kind, Request


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("PUT /b/k?x-id=PutObject", "PutObject"),
        ("PUT /b/k + copy", "CopyObject"),
        ("PUT /b/k?partNumber=1&uploadId=u", "UploadPart"),
        ("PUT /b/k?partNumber=1&uploadId=u + copy", "UploadPartCopy"),
        ("PUT /b/k?tagging", "Other"),
        ("POST /b/k?uploads", "CreateMultipartUpload"),
        ("POST /b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE /b/k?uploadId=u", "AbortMultipartUpload"),
        ("DELETE /b/k", "DeleteObject"),
        ("GET /b/k?uploadId=u&max-parts=5", "ListParts"),
        ("GET /b/k?attributes", "GetObjectAttributes"),
        ("GET /b/k?versionId=v&partNumber=1", "GetObject"),
        ("HEAD /b/k", "HeadObject"),
        ("GET /b?uploads&prefix=a%2F", "ListMultipartUploads"),
        ("GET /b/?list-type=2", "ListObjects"),
        ("GET /b?versions", "ListObjectVersions"),
        ("GET /b?location", "GetBucketLocation"),
        ("GET /b?versioning", "Other"),
        ("HEAD /b", "HeadBucket"),
        ("POST /b?delete", "DeleteObjects"),
        ("PUT /b", "CreateBucket"),
        ("DELETE /b/", "DeleteBucket"),
        ("GET /", "ListBuckets"),
    ],
)
def test_a_kind_is_told_from_the_head(line: str, kind: str) -> None:
    """As a server dispatches it."""
    method, target = line.removesuffix(" + copy").split()
    headers = {"x-amz-copy-source": "b/a"} if line.endswith("copy") else {}
    assert Request.of(1, method, target, headers).kind == Kind(kind)


def test_first_gives_a_fault_so_many_times_to_one_kind() -> None:
    """Others pass before, between and after."""
    decide = first("PutObject", ResetBeforeBody(), times=2)
    put, get = (Request.of(1, method, "/b/k", {}) for method in ("PUT", "GET"))
    given = [decide(request) for request in (get, put, get, put, put)]
    assert given == [None, ResetBeforeBody(), None, ResetBeforeBody(), None]


def test_share_gives_its_share_and_the_same_again() -> None:
    """To the named kinds only; each of the faults has its turn."""
    faults = [ResetBeforeBody(), ResetAfterBody()]
    put, get = (Request.of(1, method, "/b/k", {}) for method in ("PUT", "GET"))
    one, two = (share(0.3, faults, seed=7, kinds=["PutObject"]) for _ in range(2))
    given = [one(put) for _ in range(1000)]
    assert given == [two(put) for _ in range(1000)]
    assert 250 < sum(fault is not None for fault in given) < 350
    assert set(given) == {None, *faults}
    assert not any(one(get) for _ in range(100))


def test_either_asks_in_turn() -> None:
    """The second decides when the first has nothing."""
    decide = either(first("PutObject", DropAnswer()), first("PutObject", StallAnswer()))
    put = Request.of(1, "PUT", "/b/k", {})
    assert [decide(put) for _ in range(3)] == [DropAnswer(), StallAnswer(), None]


def test_a_misspelt_kind_is_refused() -> None:
    """A fault that never comes would make a test that cannot fail."""
    with pytest.raises(ValueError, match="PutObjekt"):
        first("PutObjekt", DropAnswer())
    with pytest.raises(ValueError, match="PutObjekt"):
        share(0.5, [DropAnswer()], 1, ["PutObjekt"])
