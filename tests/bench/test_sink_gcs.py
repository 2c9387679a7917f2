"""Show that the sink answers as Google Cloud Storage does, though it keeps no byte.

Each by TLS and by plain HTTP; Google's own library is who notices, since it compares what the
service tells with what it sent.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.cloud.storage import transfer_manager

from tests.bench import accounts, by_google
from tests.bench.rooms import GcsRoom
from tests.bench.services import GCS_SERVERS, CannotCompileError, compiled
from tests.servers.gcs_server import GcsServer
from tests.servers.leash import LeashedProcess, free_ports
from uploader.place import Place
from uploader.store.opening import open_store
from uploader.store.probe import Verdict

KIB, MIB = 1 << 10, 1 << 20
SLACK = 0.9  #: of the time that a line's pace asks for: the last bytes wait for nothing


@pytest.fixture(scope="module", params=["sink", "sink-http"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GcsServer]:
    """One sink for all tests, by TLS or not."""
    try:
        compiled()
    except CannotCompileError as error:
        if os.geteuid() == 0:  # then `scripts/tools` has installed what it takes
            raise
        pytest.skip(str(error))
    with GCS_SERVERS[request.param](tmp_path_factory.mktemp("bench") / "sink") as running:
        yield running


@pytest.fixture
def bucket(server: GcsServer) -> Any:
    """A bucket of the test's own, as Google's library has it."""
    return server.client().bucket(server.make_bucket())


def test_what_was_put_is_listed_with_its_size_and_checksum(bucket: Any) -> None:
    """Small ones, which are kept, and large ones, whose ends are looked for."""
    bodies = {"empty": b"", "large": os.urandom(3 * MIB + 1), "small": b"x" * 10}
    bodies |= {f"near-{size}": os.urandom(size) for size in range(4 * KIB - 2, 5 * KIB, 257)}
    for name, body in bodies.items():
        bucket.blob(name).upload_from_string(body)
    assert _listed(bucket) == {name: (len(body), _sum(body)) for name, body in bodies.items()}


def test_names_and_metadata_of_any_letters_come_back_as_they_went(bucket: Any) -> None:
    """Through the URL, the resource, and the list."""
    name = 'a b/ü\U0001f600&"\\<+%20>.pt'
    blob = bucket.blob(name)
    blob.metadata = {"key": 'of "ü\\\U0001f600", {a} [b]'}
    blob.upload_from_string(b"x")
    (found,) = bucket.client.list_blobs(bucket)
    assert (found.name, found.metadata) == (name, blob.metadata)
    assert bucket.get_blob(name).download_as_bytes() == b"x"
    found.delete()
    assert _listed(bucket) == {}


def test_a_create_of_what_is_there_is_refused(bucket: Any) -> None:
    """`ifGenerationMatch=0`, in one request and by a session."""
    bucket.blob("key").upload_from_string(b"one", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("key").upload_from_string(b"other", if_generation_match=0)
    in_chunks = bucket.blob("key", chunk_size=256 * KIB)
    with pytest.raises(PreconditionFailed):
        in_chunks.upload_from_string(bytes(MIB), if_generation_match=0)
    assert _sizes(bucket) == {"key": 3}


def test_what_names_another_generation_is_refused(bucket: Any) -> None:
    """Puts, deletions, copies, and a source of a composition."""
    blob = bucket.blob("key")
    blob.upload_from_string(b"one")
    old = blob.generation
    blob.upload_from_string(b"two", if_generation_match=old)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"three", if_generation_match=old)
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_match=old)
    with pytest.raises(NotFound):
        bucket.blob("copy").rewrite(bucket.blob("key", generation=old))
    with pytest.raises(NotFound):
        bucket.blob("copy").compose([bucket.blob("key", generation=old)])
    assert bucket.blob("key").download_as_bytes() == b"two"


def test_a_wrong_checksum_is_refused_where_the_bytes_are_kept(bucket: Any) -> None:
    """And nothing is there then."""
    blob = bucket.blob("key")
    blob.crc32c = _sum(b"other")
    with pytest.raises(GoogleAPIError, match="CRC32C"):
        blob.upload_from_string(b"one", checksum=None)
    assert _sizes(bucket) == {}


def test_a_session_takes_what_goes_on_where_it_is(server: GcsServer, bucket: Any) -> None:
    """It tells how far it is, ignores what it has, and keeps multiples of 256 KiB."""
    step = 256 * KIB
    uri = bucket.blob("key").create_resumable_upload_session(size=3 * step)
    asked = [
        ("*/*", 0, None),
        (f"0-{step + 9}/{3 * step}", step + 10, f"bytes=0-{step - 1}"),
        (f"{2 * step}-{3 * step - 1}/{3 * step}", step, f"bytes=0-{step - 1}"),
        (f"0-{2 * step - 1}/{3 * step}", 2 * step, f"bytes=0-{2 * step - 1}"),
        (f"*/{3 * step}", 0, f"bytes=0-{2 * step - 1}"),
    ]
    for given, size, told in asked:
        status, headers, _ = _asked(server, "PUT", uri, given, size)
        assert (status, headers["range"]) == (308, told)
    assert _sizes(bucket) == {}
    end = f"{2 * step}-{3 * step - 1}/{3 * step}"
    status, _, document = _asked(server, "PUT", uri, end, step)
    assert (status, document["size"]) == (200, str(3 * step))
    assert _sizes(bucket) == {"key": 3 * step}


def test_a_session_that_was_cancelled_is_gone(server: GcsServer, bucket: Any) -> None:
    """499, then 404."""
    uri = bucket.blob("key").create_resumable_upload_session(size=10)
    assert _asked(server, "DELETE", uri)[0] == 499
    assert _asked(server, "PUT", uri, "0-9/10", 10)[0] == 404


def test_a_composition_has_the_checksum_of_all_its_bytes(bucket: Any) -> None:
    """Put together from those of its parts."""
    bodies = [os.urandom(size) for size in (MIB, 1, 300 * KIB)]
    parts = [bucket.blob(f"part-{number}") for number in range(len(bodies))]
    for part, body in zip(parts, bodies, strict=True):
        part.upload_from_string(body)
    whole = b"".join(bodies)
    blob = bucket.blob("key")
    blob.compose(parts)
    assert _listed(bucket)["key"] == (len(whole), _sum(whole))
    bucket.blob("copy").rewrite(blob)
    assert _listed(bucket)["copy"] == (len(whole), _sum(whole))
    with pytest.raises(NotFound):
        blob.compose([*parts, bucket.blob("another")])


def test_a_long_list_comes_in_pages(bucket: Any) -> None:
    """In order, none twice, none left out."""
    names = [f"{folder}/{number}" for folder in "abc" for number in range(3)]
    for name in reversed(names):
        bucket.blob(name).upload_from_string(b"x")
    pages = list(bucket.client.list_blobs(bucket, page_size=2).pages)
    assert [blob.name for page in pages for blob in page] == names
    assert [blob.name for blob in bucket.client.list_blobs(bucket, prefix="b/")] == names[3:6]


@pytest.mark.parametrize("way", by_google.WAYS)
def test_the_library_uploads_in_each_way(
    way: str, server: GcsServer, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checksums are compared by the library itself; credentials are got by whoever needs some."""
    files = tmp_path / "files"
    files.mkdir()
    sizes = {"small": 64 * KIB, "large": 9 * MIB}
    for name, size in sizes.items():
        (files / name).write_bytes(os.urandom(size))
    account = accounts.write(tmp_path / "account.json", f"{server.endpoint}/token")
    environment = GcsRoom(server, account if server.ca_bundle else None).environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    by_google.main(way, str(files), server.endpoint, bucket.name, "run")
    assert _sizes(bucket) == {f"run/{name}": size for name, size in sizes.items()}


def test_the_library_finds_a_checksum_that_is_not_what_it_sent(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the test before would show nothing of the parts that it sends at once."""
    (tmp_path / "file").write_bytes(os.urandom(MIB))
    sent = "google.cloud.storage._media._helpers.prepare_checksum_digest"
    sums = iter([_sum(b"one"), _sum(b"other")])
    monkeypatch.setattr(sent, lambda _: next(sums))
    with pytest.raises(Exception, match="did not match"):
        transfer_manager.upload_chunks_concurrently(
            str(tmp_path / "file"), bucket.blob("key"), worker_type=transfer_manager.THREAD
        )


def test_the_uploader_finds_nothing_amiss(
    server: GcsServer, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`uploader check` tries conditions, sessions, compositions and copies."""
    account = accounts.write(tmp_path / "account.json", f"{server.endpoint}/token")
    room = GcsRoom(server, account if server.ca_bundle else None)
    for name, value in room.environment().items():
        monkeypatch.setenv(name, value)
    store = open_store(Place.of(f"gs://{bucket.name}/run", {"endpoint": server.endpoint}))
    findings = store.probe().findings
    store.close()
    assert [found for found in findings if found.verdict is not Verdict.OK] == []
    assert _sizes(bucket) == {}


def test_a_request_cut_in_its_body_stores_nothing(server: GcsServer, bucket: Any) -> None:
    """And the sink goes on to answer others."""
    body = '--b\r\n\r\n{"name":"cut"}\r\n--b\r\n\r\nhalf'
    for length in (len(body), len(body) + 10):  # without its boundary; without its end
        connection = _connected(server)
        connection.putrequest("POST", f"/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart")
        connection.putheader("Content-Length", str(length))
        connection.endheaders(body.encode())
        assert connection.sock
        if not server.ca_bundle:
            connection.sock.shutdown(socket.SHUT_WR)
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()
        connection.close()
    assert _sizes(bucket) == {}


def test_a_slow_line_takes_its_time(tmp_path: Path) -> None:
    """So many bytes per second on each connection, and a pause before each answer."""
    (port,) = free_ports(1)
    command = [str(compiled()), "-r", str(10 * MIB), "-w", "200", str(port)]
    process = LeashedProcess(command, tmp_path, {})
    try:
        server = GcsServer(f"http://127.0.0.1:{port}")
        process.wait_until(server.answers)
        bucket = server.client().bucket(server.make_bucket())
        begun = time.monotonic()
        bucket.blob("key").upload_from_string(bytes(5 * MIB))
        assert time.monotonic() - begun > (0.5 + 0.2) * SLACK
    finally:
        process.kill()


def _listed(bucket: Any) -> dict[str, tuple[int, str]]:
    return {blob.name: (blob.size, blob.crc32c) for blob in bucket.client.list_blobs(bucket)}


def _sizes(bucket: Any) -> dict[str, int]:
    return {name: size for name, (size, _) in _listed(bucket).items()}


def _sum(body: bytes) -> str:
    return base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()


def _connected(server: GcsServer) -> http.client.HTTPConnection:
    connection = GcsRoom(server)._connected()
    connection.connect()
    return connection


def _asked(
    server: GcsServer, method: str, uri: str, content_range: str = "", size: int = 0
) -> tuple[int, dict[str, str | None], Any]:
    """Ask a session; return the status, headers of which some may be missing, the document."""
    connection = _connected(server)
    headers = {"Content-Range": f"bytes {content_range}"} if content_range else {}
    connection.request(method, uri.removeprefix(server.endpoint), bytes(size), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    document = json.loads(body) if body else None
    return answer.status, {"range": answer.headers["range"]}, document
