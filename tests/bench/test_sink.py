"""Show that the sink answers as S3 does, though it keeps no byte: peers must not notice."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.bench.s3 import SERVERS
from tests.servers.s3_server import S3Server

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One sink for all tests."""
    with SERVERS["sink"](tmp_path_factory.mktemp("bench") / "sink") as running:
        yield running


@pytest.fixture
def bucket(server: S3Server) -> str:
    """A bucket of the test's own."""
    return server.make_bucket()


def test_what_was_put_is_listed_with_its_size(server: S3Server, bucket: str) -> None:
    """Small ones, which come with their heads, and large ones, which are discarded in pieces."""
    sizes = {"empty": 0, "large": 5 * MIB + 1, "small": 10}
    for key, size in sizes.items():
        server.client().put_object(Bucket=bucket, Key=key, Body=b"x" * size)
    assert _listed(server, bucket) == sizes


def test_names_of_any_letters_come_back_as_they_went(server: S3Server, bucket: str) -> None:
    """Through the URL, the list, and the document of a deletion."""
    key = "a b/ü&<+%20>.pt"
    server.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    assert _listed(server, bucket) == {key: 1}
    server.client().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert _listed(server, bucket) == {}


def test_a_create_of_what_is_there_is_refused(server: S3Server, bucket: str) -> None:
    """`If-None-Match: *`."""
    server.client().put_object(Bucket=bucket, Key="key", Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        server.client().put_object(Bucket=bucket, Key="key", Body=b"other", IfNoneMatch="*")
    assert _listed(server, bucket) == {"key": 3}


def test_a_long_list_comes_in_pages(server: S3Server, bucket: str) -> None:
    """In order, none twice, none left out, also when a page ends in a folder."""
    keys = [f"{folder}/{number}" for folder in "abc" for number in range(3)]
    for key in reversed(keys):
        server.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = _pages(server, bucket)
    found = [one["Key"] for page in pages for one in page["Contents"]]
    pages = _pages(server, bucket, Delimiter="/")
    folders = [one["Prefix"] for page in pages for one in page["CommonPrefixes"]]
    assert found == keys
    assert folders == ["a/", "b/", "c/"]


def test_an_object_in_parts_is_the_sum_of_its_parts(server: S3Server, bucket: str) -> None:
    """Its size; and its ETag, which rclone compares."""
    session, parts = _sent_in_parts(server, bucket, [b"x" * 5 * MIB, b"y"])
    answer = server.client().complete_multipart_upload(
        Bucket=bucket, Key="key", UploadId=session, MultipartUpload={"Parts": parts}
    )
    sums = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    assert answer["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-2"'
    assert server.client().head_object(Bucket=bucket, Key="key")["ContentLength"] == 5 * MIB + 1


def test_a_part_that_was_not_sent_cannot_be_completed(server: S3Server, bucket: str) -> None:
    """A peer that lost a part must not look as if it had arrived."""
    session, parts = _sent_in_parts(server, bucket, [b"x"])
    with pytest.raises(ClientError, match="InvalidPart"):
        server.client().complete_multipart_upload(
            Bucket=bucket,
            Key="key",
            UploadId=session,
            MultipartUpload={"Parts": [*parts, {**parts[0], "PartNumber": 2}]},
        )
    assert _listed(server, bucket) == {}


def test_what_it_does_not_know_is_not_there(server: S3Server, bucket: str) -> None:
    """Objects, sessions, buckets; and what it cannot do it says."""
    client = server.client()
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=bucket, Key="key")
    with pytest.raises(ClientError, match="NoSuchUpload"):
        client.upload_part(Bucket=bucket, Key="key", UploadId="0", PartNumber=1, Body=b"")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.put_object(Bucket="elsewhere", Key="key", Body=b"")
    client.put_object(Bucket=bucket, Key="key", Body=b"x")
    with pytest.raises(ClientError, match="NotImplemented"):
        client.get_object(Bucket=bucket, Key="key")


def test_a_request_cut_in_its_body_stores_nothing(server: S3Server, bucket: str) -> None:
    """And the sink goes on to answer others."""
    host, _, port = server.endpoint.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"PUT /{bucket}/cut HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""  # it was seen to be cut
    assert _listed(server, bucket) == {}


def test_requests_may_come_in_any_pieces(server: S3Server, bucket: str) -> None:
    """Two heads and bodies in one piece, and a head byte by byte."""
    host, _, port = server.endpoint.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = client.makefile("rb")
        put = f"PUT /{bucket}/%d HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
        client.sendall((put % 1 + put % 2).encode())
        assert [_status(answers), _status(answers)] == [200, 200]
        for letter in put % 3:
            client.sendall(letter.encode())
        assert _status(answers) == 200
    assert _listed(server, bucket) == {"1": 4, "2": 4, "3": 4}


def _listed(server: S3Server, bucket: str) -> dict[str, int]:
    answer = server.client().list_objects_v2(Bucket=bucket)
    return {found["Key"]: found["Size"] for found in answer.get("Contents", [])}


def _pages(server: S3Server, bucket: str, **chosen: str) -> list[dict[str, Any]]:
    paginator = server.client().get_paginator("list_objects_v2")
    return list(paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}, **chosen))


def _sent_in_parts(
    server: S3Server, bucket: str, bodies: list[bytes]
) -> tuple[str, list[dict[str, Any]]]:
    client, parts = server.client(), []
    session = client.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    for number, body in enumerate(bodies, start=1):
        answer = client.upload_part(
            Bucket=bucket, Key="key", UploadId=session, PartNumber=number, Body=body
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    return session, parts


def _status(answers: Any) -> int:
    """Read an answer without a document."""
    status = int(answers.readline().split()[1])
    while answers.readline() != b"\r\n":
        pass
    return status
