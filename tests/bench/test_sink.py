"""Show that the sink answers as S3 does, though it keeps no byte: peers must not notice.

Each by TLS, where bodies are decrypted, and by plain HTTP, where the kernel discards them.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.bench.services import SERVERS, CannotCompileError, compiled
from tests.servers.s3_server import S3Server
from uploader.place import Place
from uploader.store.opening import open_store
from uploader.store.probe import Verdict

MIB = 1 << 20


@pytest.fixture(scope="module", params=["sink", "sink-http"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """One sink for all tests, by TLS or not."""
    try:
        compiled()
    except CannotCompileError as error:
        if os.geteuid() == 0:  # then `scripts/tools` has installed what it takes
            raise
        pytest.skip(str(error))
    with SERVERS[request.param](tmp_path_factory.mktemp("bench") / "sink") as running:
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


def test_an_overwrite_of_another_version_is_refused(server: S3Server, bucket: str) -> None:
    """`If-Match`, on puts and on deletions."""
    client = server.client()
    etag = client.put_object(Bucket=bucket, Key="key", Body=b"one")["ETag"]
    client.put_object(Bucket=bucket, Key="key", Body=b"two", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="key", Body=b"three", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.delete_object(Bucket=bucket, Key="key", IfMatch=etag)
    assert client.get_object(Bucket=bucket, Key="key")["Body"].read() == b"two"


def test_the_uploader_finds_nothing_amiss(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`uploader check` tries checksums, conditions, parts and copies: no special case is needed."""
    for name, value in _environment(server).items():
        monkeypatch.setenv(name, value)
    place = Place.of(f"s3://{bucket}/run", {"endpoint": server.endpoint})
    store = open_store(place)
    findings = store.probe().findings
    store.close()
    assert [found for found in findings if found.verdict is not Verdict.OK] == []
    assert _listed(server, bucket) == {}


def test_a_checksum_may_come_last(server: S3Server, bucket: str) -> None:
    """As the SDKs of AWS send it, in chunks; small ones are read again, large ones counted."""
    bodies = {"empty": b"", "small": b"x" * 1000, "large": b"x" * 3 * MIB}
    for key, body in bodies.items():
        server.client().put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="CRC32")
    assert _listed(server, bucket) == {key: len(body) for key, body in bodies.items()}
    answer = server.client().get_object(Bucket=bucket, Key="small")
    assert answer["Body"].read() == bodies["small"]


def test_parts_that_were_sent_are_listed(server: S3Server, bucket: str) -> None:
    """In pages; until the upload is aborted, when it is in no list."""
    client = server.client()
    session, parts = _sent_in_parts(server, bucket, [b"x", b"yy", b"zzz"])
    pages = client.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="key", UploadId=session, PaginationConfig={"PageSize": 2}
    )
    found = [part for page in pages for part in page["Parts"]]
    assert [(one["PartNumber"], one["ETag"], one["Size"]) for one in found] == [
        (part["PartNumber"], part["ETag"], size) for size, part in enumerate(parts, start=1)
    ]
    listed = client.list_multipart_uploads(Bucket=bucket, Prefix="ke")["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in listed] == [("key", session)]
    client.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=session)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        client.list_parts(Bucket=bucket, Key="key", UploadId=session)


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
    client.put_object(Bucket=bucket, Key="key", Body=b"x" * MIB)
    with pytest.raises(ClientError, match="NotImplemented"):
        client.get_object(Bucket=bucket, Key="key")


def test_a_request_cut_in_its_body_stores_nothing(server: S3Server, bucket: str) -> None:
    """And the sink goes on to answer others."""
    with _connected(server) as client:
        client.sendall(f"PUT /{bucket}/cut HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf".encode())
        client.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in b"".join(iter(lambda: client.recv(4096), b""))  # seen to be cut
    assert _listed(server, bucket) == {}


def test_requests_may_come_in_any_pieces(server: S3Server, bucket: str) -> None:
    """Two heads and bodies in one piece, and a head byte by byte."""
    with _connected(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = client.makefile("rb")
        put = f"PUT /{bucket}/%d HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
        client.sendall((put % 1 + put % 2).encode())
        assert [_status(answers), _status(answers)] == [200, 200]
        for letter in put % 3:
            client.sendall(letter.encode())
        assert _status(answers) == 200
    assert _listed(server, bucket) == {"1": 4, "2": 4, "3": 4}


def test_chunks_may_hold_chunks(server: S3Server, bucket: str) -> None:
    """Those of HTTP, those of AWS with a signature each, and these inside of those."""
    inner = "5;chunk-signature=0\r\nfirst\r\n4\r\nlast\r\n0\r\nx-trailer:a\r\n\r\n"
    cut = f"7\r\n{inner[:7]}\r\n{len(inner) - 7:x}\r\n{inner[7:]}\r\n0\r\n\r\n"
    chunked, of_aws = "Transfer-Encoding: chunked", "Content-Encoding: aws-chunked"
    requests = [
        (chunked, "5\r\nfirst\r\n4;more\r\nlast\r\n0\r\nx-trailer: 1\r\n\r\n"),
        (f"{of_aws}\r\nContent-Length: {len(inner)}", inner),
        (f"{of_aws}\r\n{chunked}", cut),
    ]
    with _connected(server) as client:
        answers = client.makefile("rb")
        for number, (headers, body) in enumerate(requests):
            client.sendall(f"PUT /{bucket}/{number} HTTP/1.1\r\n{headers}\r\n\r\n{body}".encode())
            assert _status(answers) == 200
    assert _listed(server, bucket) == {"0": 9, "1": 9, "2": 9}
    answer = server.client().get_object(Bucket=bucket, Key="2")
    assert answer["Body"].read() == b"firstlast"


def _environment(server: S3Server) -> dict[str, str]:
    trusted = {"AWS_CA_BUNDLE": str(server.ca_bundle)} if server.ca_bundle else {}
    return {**server.environment(), **trusted}


def _connected(server: S3Server) -> socket.socket:
    host, _, port = server.endpoint.rpartition("//")[2].partition(":")
    plain = socket.create_connection((host, int(port)))
    if server.ca_bundle is None:
        return plain
    context = ssl.create_default_context(cafile=str(server.ca_bundle))
    return context.wrap_socket(plain, server_hostname=host)


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
