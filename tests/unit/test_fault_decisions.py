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
        ("PUT /b/k?x-id=PutObject", Kind.PUT),
        ("PUT /b/k + copy", Kind.COPY),
        ("PUT /b/k?partNumber=1&uploadId=u", Kind.PART),
        ("PUT /b/k?partNumber=1&uploadId=u + copy", Kind.PART_COPY),
        ("PUT /b/k?tagging", Kind.OTHER),
        ("POST /b/k?uploads", Kind.BEGIN),
        ("POST /b/k?uploadId=u", Kind.COMPLETE),
        ("DELETE /b/k?uploadId=u", Kind.ABORT),
        ("DELETE /b/k", Kind.DELETE),
        ("GET /b/k?uploadId=u&max-parts=5", Kind.STATUS),
        ("GET /b/k?attributes", Kind.ATTRIBUTES),
        ("GET /b/k?versionId=v&partNumber=1", Kind.READ),
        ("HEAD /b/k", Kind.HEAD),
        ("GET /b?uploads&prefix=a%2F", Kind.LIST_UNFINISHED),
        ("GET /b/?list-type=2", Kind.LIST),
        ("GET /b?versions", Kind.LIST_VERSIONS),
        ("GET /b?location", Kind.LOCATION),
        ("GET /b?versioning", Kind.OTHER),
        ("HEAD /b", Kind.HEAD_BUCKET),
        ("POST /b?delete", Kind.DELETE_MANY),
        ("PUT /b", Kind.CREATE_BUCKET),
        ("DELETE /b/", Kind.DELETE_BUCKET),
        ("GET /", Kind.LIST_BUCKETS),
    ],
)
def test_a_kind_of_s3s_is_told_from_the_head(line: str, kind: Kind) -> None:
    """As a server dispatches it."""
    method, target = line.removesuffix(" + copy").split()
    headers = {"x-amz-copy-source": "b/a"} if line.endswith("copy") else {}
    assert Request.of(1, method, target, headers).kind == kind


UPLOAD = "/upload/storage/v1/b/b/o"


@pytest.mark.parametrize(
    ("line", "kind", "key"),
    [
        (f"POST {UPLOAD}?uploadType=multipart&ifGenerationMatch=0", Kind.PUT, ""),
        (f"POST {UPLOAD}?uploadType=media&name=a%2Fk", Kind.PUT, "a/k"),
        (f"POST {UPLOAD}?uploadType=resumable&ifGenerationMatch=7", Kind.BEGIN, ""),
        (f"PUT {UPLOAD}?upload_id=u bytes 0-9/30", Kind.PART, ""),
        (f"PUT {UPLOAD}?upload_id=u bytes 0-9/*", Kind.PART, ""),
        (f"PUT {UPLOAD}?upload_id=u bytes 10-29/30", Kind.COMPLETE, ""),
        (f"PUT {UPLOAD}?upload_id=u", Kind.COMPLETE, ""),
        (f"PUT {UPLOAD}?upload_id=u bytes */30", Kind.STATUS, ""),
        (f"PUT {UPLOAD}?upload_id=u bytes */*", Kind.STATUS, ""),
        (f"DELETE {UPLOAD}?upload_id=u", Kind.ABORT, ""),
        ("POST /storage/v1/b/b/o/a%2Fs/rewriteTo/b/b/o/a%2Fk?rewriteToken=t", Kind.COPY, "a/k"),
        ("POST /storage/v1/b/b/o/a%2Fk/compose?ifGenerationMatch=0", Kind.COMPOSE, "a/k"),
        ("GET /storage/v1/b/b/o/a%2Fk?projection=noAcl", Kind.HEAD, "a/k"),
        ("GET /storage/v1/b/b/o/a%2Fk?alt=media", Kind.READ, "a/k"),
        ("GET /download/storage/v1/b/b/o/a%2Fk?alt=media", Kind.READ, "a/k"),
        ("PATCH /storage/v1/b/b/o/a%2Fk", Kind.PATCH, "a/k"),
        ("DELETE /storage/v1/b/b/o/a%2Fk?ifGenerationMatch=7", Kind.DELETE, "a/k"),
        ("GET /storage/v1/b/b/o?prefix=a%2F", Kind.LIST, ""),
        ("GET /storage/v1/b/b", Kind.HEAD_BUCKET, ""),
        ("GET /storage/v1/b/b/iam/testPermissions?permissions=p", Kind.PERMISSIONS, ""),
        ("GET /storage/v1/b/b/iam", Kind.OTHER, ""),
        ("GET /storage/v1/b/o", Kind.HEAD_BUCKET, ""),
        ("POST /storage/v1/b?project=p", Kind.CREATE_BUCKET, ""),
        ("DELETE /storage/v1/b/b", Kind.DELETE_BUCKET, ""),
        ("GET /storage/v1/b?project=p", Kind.LIST_BUCKETS, ""),
        ("POST /batch/storage/v1", Kind.DELETE_MANY, ""),
        ("POST /storage/v1/b/b/o/a%2Fk", Kind.OTHER, "a/k"),
    ],
)
def test_a_kind_of_gcss_is_told_from_the_head(line: str, kind: Kind, key: str) -> None:
    """By the path's shape, and in a session by the range; a name's slashes are escaped."""
    method, target, *ranges = line.split(" ", 2)
    headers = {"content-range": ranges[0]} if ranges else {}
    request = Request.of(1, method, target, headers)
    assert (request.kind, request.key) == (kind, key)
    assert request.session == ("u" if "upload_id" in target else "")


def test_the_place_of_a_part_is_told() -> None:
    """S3's is a number, GCS's an offset."""
    part = Request.of(1, "PUT", "/b/k?partNumber=3&uploadId=u", {})
    assert (part.part, part.session, part.key) == (3, "u", "k")
    headers = {"content-range": "bytes 10-29/30"}
    part = Request.of(1, "PUT", f"{UPLOAD}?upload_id=u", headers)
    assert (part.part, part.session, part.bucket) == (10, "u", "b")


RELATED = {"content-type": 'multipart/related; boundary="==1=="'}
RELATED_BODY = (
    b"--==1==\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
    b'{"name": "a/\xc3\xa4", "metadata": {"uploader-id": "u"}}\r\n--==1==\r\n'
    b"Content-Type: text/plain\r\n\r\nbytes\xff\r\n--==1==--"
)


def test_what_the_body_of_an_upload_names_is_learnt_from_its_beginning() -> None:
    """Its name and its metadata, once the whole resource has come, before the file's bytes."""
    request = Request.of(1, "POST", f"{UPLOAD}?uploadType=multipart", RELATED)
    assert request.tells_more
    ends = RELATED_BODY.index(b"\r\n--==1==\r\nContent-Type: text") + len(b"\r\n--==1==")
    assert not request.learn(RELATED_BODY[: ends - 1])
    assert request.key == ""
    assert request.learn(RELATED_BODY[:ends])
    assert (request.key, request.metadata) == ("a/ä", {"uploader-id": "u"})


def test_metadata_are_told_alike() -> None:
    """S3 has them in headers, GCS in the resource, that of a composition inside of its order."""
    put = Request.of(1, "PUT", "/b/k", {"x-amz-meta-uploader-id": "u", "x-amz-acl": "private"})
    assert put.metadata == {"uploader-id": "u"}
    assert not put.tells_more
    headers = {"content-type": "application/json"}
    compose = Request.of(1, "POST", "/storage/v1/b/b/o/k/compose", headers)
    assert compose.learn(b'{"destination": {"metadata": {"uploader-id": "u"}}}')
    assert compose.metadata == {"uploader-id": "u"}


def test_first_gives_a_fault_so_many_times_to_one_kind() -> None:
    """Others pass before, between and after."""
    decide = first("put", ResetBeforeBody(), times=2)
    put, get = (Request.of(1, method, "/b/k", {}) for method in ("PUT", "GET"))
    given = [decide(request) for request in (get, put, get, put, put)]
    assert given == [None, ResetBeforeBody(), None, ResetBeforeBody(), None]


def test_share_gives_its_share_and_the_same_again() -> None:
    """To the named kinds only; each of the faults has its turn."""
    faults = [ResetBeforeBody(), ResetAfterBody()]
    put, get = (Request.of(1, method, "/b/k", {}) for method in ("PUT", "GET"))
    one, two = (share(0.3, faults, seed=7, kinds=["put"]) for _ in range(2))
    given = [one(put) for _ in range(1000)]
    assert given == [two(put) for _ in range(1000)]
    assert 250 < sum(fault is not None for fault in given) < 350
    assert set(given) == {None, *faults}
    assert not any(one(get) for _ in range(100))


def test_either_asks_in_turn() -> None:
    """The second decides when the first has nothing."""
    decide = either(first("put", DropAnswer()), first("put", StallAnswer()))
    put = Request.of(1, "PUT", "/b/k", {})
    assert [decide(put) for _ in range(3)] == [DropAnswer(), StallAnswer(), None]


def test_a_misspelt_kind_is_refused() -> None:
    """A fault that never comes would make a test that cannot fail."""
    with pytest.raises(ValueError, match="putt"):
        first("putt", DropAnswer())
    with pytest.raises(ValueError, match="putt"):
        share(0.5, [DropAnswer()], 1, ["putt"])
