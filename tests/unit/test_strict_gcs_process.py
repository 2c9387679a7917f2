"""Start the tests' strict GCS server in other ways, kill it, ask it what came."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden

from tests.servers.strict_gcs.asking import Asking
from tests.servers.strict_gcs.running import StrictProcess, strict_gcs_running

MIB = 1024 * 1024


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StrictProcess]:
    """Run a server that a test may kill."""
    with strict_gcs_running(tmp_path / "data") as process:
        yield process


def put(bucket: Any, name: str, data: bytes = b"content", **how: Any) -> Any:
    """Store an object, return its blob."""
    blob = bucket.blob(name)
    blob.upload_from_string(data, **how)
    return blob


def test_a_token_and_a_project_that_pays_are_asked_for(tmp_path: Path) -> None:
    """A caller without them is refused; the token can change."""
    with strict_gcs_running(tmp_path / "data", token="t", user_project="p") as own:
        server = own.server
        name = server.make_bucket()
        bucket = server.client().bucket(name, user_project="p")
        put(bucket, "k")
        with pytest.raises(BadRequest, match="requester pays"):
            put(server.client().bucket(name), "k")
        with pytest.raises(Forbidden):
            put(server.client().bucket(name, user_project="q"), "k")
        refused = Asking(server, name).put("k", b"content", "&userProject=p")
        assert (refused.status, refused.reason) == (401, "required")
        server.control(token="another")
        old = {"Authorization": "Bearer t"}
        refused = Asking(server, name).put("k", b"content", "&userProject=p", old)
        assert (refused.status, refused.reason) == (401, "authError")
        new = {"Authorization": "Bearer another"}
        assert Asking(server, name).put("k", b"new", "&userProject=p", new).status == 200


def test_it_speaks_tls(tmp_path: Path) -> None:
    """Session URIs too, and downloads."""
    with strict_gcs_running(tmp_path / "data", tls=True) as own:
        bucket = own.server.client().bucket(own.server.make_bucket())
        data = os.urandom(MIB + 1)
        bucket.blob("k", chunk_size=MIB // 4).upload_from_file(io.BytesIO(data))
        assert bucket.blob("k").download_as_bytes() == data


def test_finished_objects_are_there_after_a_kill(own: StrictProcess) -> None:
    """With their generations; what was removed or replaced is not."""
    server = own.server
    bucket = server.client().bucket(server.make_bucket())
    data = os.urandom(MIB)
    kept, gone = put(bucket, "kept", data), put(bucket, "gone")
    bucket.blob("joined").compose([kept, gone])
    bucket.blob("copy").rewrite(kept)
    put(bucket, "kept", data)
    gone.delete()
    before = {blob.name: blob.generation for blob in bucket.list_blobs()}
    own.kill()
    own.restart()
    assert {blob.name: blob.generation for blob in bucket.list_blobs()} == before
    assert bucket.blob("kept").download_as_bytes() == data
    assert bucket.blob("joined").download_as_bytes() == data + b"content"
    assert bucket.blob("copy").download_as_bytes() == data
    assert put(bucket, "new").generation > max(before.values())


def test_what_a_kill_left_half_done_is_forgotten(own: StrictProcess, tmp_path: Path) -> None:
    """A line of the journal that is not whole, and a file that nothing names."""
    server = own.server
    bucket = server.client().bucket(server.make_bucket())
    put(bucket, "k")
    own.kill()
    data = tmp_path / "data"
    with (data / "journal").open("ab") as journal:
        journal.write(b'{"is": "obj')
    (data / "contents" / "unnamed").write_bytes(b"half")
    own.restart()
    put(bucket, "l")
    own.kill()
    own.restart()
    assert [blob.name for blob in bucket.list_blobs()] == ["k", "l"]
    assert len(list((data / "contents").iterdir())) == 2


def test_it_counts_what_came(own: StrictProcess) -> None:
    """Requests by kind, and the bytes of their bodies."""
    server = own.server
    bucket = server.client().bucket(server.make_bucket())
    server.control(clear_counts=True)
    put(bucket, "k", bytes(1000))
    bucket.blob("k").download_as_bytes()
    told = server.control()
    assert (told["requests"]["insert"], told["requests"]["get"]) == (1, 1)
    assert 1000 < told["bytes"]["insert"] < 1500
