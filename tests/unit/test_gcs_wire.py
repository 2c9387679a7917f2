"""Hold the GCS store to what it asks, and to what it makes of answers that no good server gives.

Both ways are held to it: straight to the service, and by way of the SDK's session, as where there
is a proxy. The server of these tests is either.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.scripted import Said, Scripted, scripted
from uploader.checksum import crc32c
from uploader.errors import (
    AuthError,
    DamagedError,
    NotFoundError,
    SessionLostError,
    TransientError,
)
from uploader.model import Part, PutMode, SentPart
from uploader.place import Capabilities, Place
from uploader.store.base import ObjectStore
from uploader.store.gcs import sessions
from uploader.store.gcs.sessions import MULTIPLE, Session
from uploader.store.gcs.store import GCSStore
from uploader.store.opening import open_store
from uploader.store.testing.given import Artifact, Artifacts, content_of

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
PROXIED = "http://storage.invalid"  #: a host that only a proxy can reach
SESSION_PATH = "/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=secret"


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that has nothing to say yet."""
    with scripted() as server:
        yield server


@pytest.fixture(params=["straight", "by-proxy"])
def endpoint(
    request: pytest.FixtureRequest, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Where the store believes the service to be."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if request.param == "straight":
        return server.endpoint
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    monkeypatch.setenv("http_proxy", server.endpoint)
    return PROXIED


@pytest.fixture
def store(endpoint: str) -> Iterator[ObjectStore]:
    """A store that believes in everything."""
    place = Place.of(f"gs://bucket/pre?endpoint={endpoint}&stall_timeout=5s")
    store = open_store(replace(place, capabilities=Capabilities(endpoint, compose=True)))
    assert isinstance(store, GCSStore)
    yield store
    store.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Make what is put."""
    return Artifacts(tmp_path / "blobs")


def resource_of(artifact: Artifact, **other: Any) -> dict[str, Any]:
    """Return what the service says of an object, once it has it; None leaves something out."""
    told = {
        "name": f"pre/{NAME}",
        "size": str(len(artifact.content)),
        "generation": "7",
        "crc32c": base64.b64encode(crc32c(artifact.content).to_bytes(4, "big")).decode(),
        "metadata": {"uploader-id": artifact.upload_id},
        **other,
    }
    return {key: value for key, value in told.items() if value is not None}


def stored(artifact: Artifact, **other: Any) -> Said:
    """Return the answer that there is such an object."""
    return Said.document(resource_of(artifact, **other))


def begun(endpoint: str) -> Said:
    """Return the answer that there is a session."""
    return Said(headers={"Location": f"{endpoint}{SESSION_PATH}"})


def going_on(size: int) -> Said:
    """Return the answer that a session has so many bytes."""
    return Said(308, headers={"Range": f"bytes=0-{size - 1}"} if size else {})


NOT_THERE = Said.document(
    {"error": {"code": 404, "message": "No such object", "errors": [{"reason": "notFound"}]}}, 404
)


# -- a put --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MULTIPLE - 1, MULTIPLE, 3 * MULTIPLE + 7])
def test_a_put_is_one_request_with_all_that_belongs_to_it(
    server: Scripted, store: ObjectStore, artifacts: Artifacts, size: int
) -> None:
    """The precondition, the checksum and the metadata go with the bytes."""
    artifact = artifacts.of(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    server.says = [stored(artifact)]
    receipt = artifact.put(store, NAME)
    assert (receipt.etag, receipt.size, receipt.crc32c) == ("7", size, artifact.meta.crc32c)
    asked = server.only()
    assert (asked.method, asked.path) == ("POST", "/upload/storage/v1/b/bucket/o")
    assert asked.query["uploadType"] == "multipart"
    assert asked.query["ifGenerationMatch"] == "0"
    resource, data = asked.related
    assert data == artifact.content
    assert resource["name"] == f"pre/{NAME}"
    assert resource["crc32c"] == resource_of(artifact)["crc32c"]
    assert resource["metadata"]["uploader-id"] == artifact.upload_id
    assert "authorization" not in asked.headers
    assert asked.headers["user-agent"].startswith("artifact-uploader")


def test_connections_are_kept(server: Scripted, store: ObjectStore, artifacts: Artifacts) -> None:
    """Three files, one connection."""
    made = [artifacts.of(b"content %d" % one) for one in range(3)]
    server.says = [stored(one) for one in made]
    for number, one in enumerate(made):
        one.put(store, f"{NAME}-{number}")
    assert {one.connection for one in server.asked} == {0}


def test_an_object_that_is_reported_with_another_checksum_is_no_receipt(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """It arrived damaged, and the service did not notice."""
    artifact = artifacts.of(b"content")
    server.says = [stored(artifact, crc32c="AAAAAA==")]
    with pytest.raises(TransientError, match="arrived damaged: its CRC32C is 00000000, sent was"):
        artifact.put(store, NAME)


ANSWERS = [
    b"",
    b"<html>It works!</html>",
    b"[]",
    b"null",
    b"7",
    b"{}",
    b'{"generation": "7"',
    b'{"name": "pre/a/name", "size": "7"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda body: repr(body[:20]))
def test_an_answer_that_was_cut_off_is_no_receipt(
    server: Scripted, store: ObjectStore, artifacts: Artifacts, answer: bytes
) -> None:
    """Nor one of somebody else on the way, whatever its status says."""
    server.says = [Said(200, answer)]
    with pytest.raises(TransientError):
        artifacts.of(b"content").put(store, NAME)


def test_an_answer_that_ends_early_is_no_receipt(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """The connection broke in the middle of it."""
    artifact = artifacts.of(b"content")
    whole = stored(artifact)
    server.says = [Said(200, whole.body[:40], missing=len(whole.body) - 40)]
    with pytest.raises(TransientError):
        artifact.put(store, NAME)


def test_a_redirect_is_not_followed(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """The bytes go where the destination is, and nowhere else."""
    artifact = artifacts.of(b"content")
    server.says = [Said(307, headers={"Location": "http://elsewhere.invalid/"}), stored(artifact)]
    with pytest.raises(Exception, match="307"):
        artifact.put(store, NAME)
    assert len(server.asked) == 1


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
@pytest.mark.parametrize("size", [7, MULTIPLE, 5 * MULTIPLE])
def test_a_damaged_body_is_never_finished(
    server: Scripted, store: ObjectStore, artifacts: Artifacts, size: int, damage: str
) -> None:
    """The service waits for its end in vain, so it makes nothing of it."""
    artifact = artifacts.of(bytes(size))
    artifact.blob.write_bytes(bytes(size - 1) + (b"!" if damage == "flipped" else b""))
    server.says = [stored(artifact)]
    with pytest.raises(DamagedError, match="spool file damaged"):
        artifact.put(store, NAME)
    store.close()
    server.end()
    assert not any(one.whole for one in server.asked)
    assert len(server.says) == 1  # nothing was answered


@pytest.mark.parametrize("name", ["a b", "ü/€.pt", "100%", "what?", "a#b", "a+b", "a%2Fb", "//x"])
def test_any_name_gets_there_and_back(
    server: Scripted, store: ObjectStore, artifacts: Artifacts, name: str
) -> None:
    """In a path and in a resource."""
    artifact = artifacts.of(b"content")
    server.says = [stored(artifact), stored(artifact)]
    artifact.put(store, name)
    assert server.asked[0].related[0]["name"] == f"pre/{name}"
    assert store.head(name).size == len(b"content")
    assert server.asked[1].path == f"/storage/v1/b/bucket/o/pre/{name}"


def test_an_expired_token_is_an_auth_error(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """Which uses up no attempt."""
    error = {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}
    server.says = [Said.document({"error": error}, 401)] * 3
    with pytest.raises(AuthError, match="renew the credentials"):
        artifacts.of(b"content").put(store, NAME)
    assert server.only().whole


# -- sessions -----------------------------------------------------------------------------------


def session_of(endpoint: str, artifact: Artifact) -> str:
    """Return a session that was begun for an artifact."""
    return str(Session(f"{endpoint}{SESSION_PATH}", len(artifact.content)))


def test_a_session_is_begun_with_all_that_belongs_to_the_object(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts
) -> None:
    """What it is to be checked with is told before the first byte."""
    artifact = artifacts.of(b"content")
    server.says = [NOT_THERE, begun(endpoint)]
    assert artifact.begin(store, NAME) == session_of(endpoint, artifact)
    asked = server.asked[-1]
    assert asked.query == {"uploadType": "resumable", "ifGenerationMatch": "0"}
    assert asked.headers["x-upload-content-length"] == "7"
    resource = json.loads(asked.body)
    assert resource["name"] == f"pre/{NAME}"
    assert resource["crc32c"] == resource_of(artifact)["crc32c"]
    assert resource["metadata"]["uploader-id"] == artifact.upload_id


def test_a_session_that_is_not_told_is_not_begun(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """A proxy left out the header; the next try may tell it."""
    server.says = [NOT_THERE, Said(200, b"{}")]
    with pytest.raises(TransientError, match="does not tell the session"):
        artifacts.of(b"content").begin(store, NAME)


def test_a_piece_that_the_service_kept_is_gone_on_from(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts
) -> None:
    """It may persist less than was sent: the rest follows, and not a byte twice."""
    artifact = artifacts.of(bytes(range(256)) * (5 * MULTIPLE // 256))
    part = Part(1, 0, 4 * MULTIPLE)
    server.says = [going_on(MULTIPLE), going_on(3 * MULTIPLE), going_on(4 * MULTIPLE)]
    artifact.send(store, NAME, session_of(endpoint, artifact), part)
    total = len(artifact.content)
    begins = [0, MULTIPLE, 3 * MULTIPLE]
    assert [one.headers["content-range"] for one in server.asked] == [
        f"bytes {begin}-{part.size - 1}/{total}" for begin in begins
    ]
    for begin, asked in zip(begins, server.asked, strict=True):
        assert asked.body == artifact.content[begin : part.size]


@pytest.mark.parametrize("told", [going_on(MULTIPLE), going_on(0)], ids=["no more", "nothing"])
def test_a_service_that_keeps_nothing_is_not_asked_for_ever(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts, told: Said
) -> None:
    """It is a fault that may pass."""
    artifact = artifacts.of(bytes(5 * MULTIPLE))
    server.says = [told] * 100
    part = Part(1, 0, 4 * MULTIPLE)
    with pytest.raises(TransientError, match="keeps only pieces"):
        artifact.send(store, NAME, session_of(endpoint, artifact), part)
    assert len(server.asked) == sessions.PIECES


@pytest.mark.parametrize(
    "said", ["", "bytes=5-", "bytes 0-9", "bytes=0-x", "rubbish", "bytes=0--1"]
)
def test_an_offset_that_makes_no_sense_is_none(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts, said: str
) -> None:
    """What was recorded counts only if the service says so."""
    artifact = artifacts.of(bytes(5 * MULTIPLE))
    server.says = [Said(308, headers={"Range": said})]
    sent = SentPart(1, MULTIPLE, "sent")
    assert store.sent_parts(NAME, session_of(endpoint, artifact), [sent]) == []
    assert server.only().headers["content-range"] == f"bytes */{5 * MULTIPLE}"


def complete(store: ObjectStore, endpoint: str, artifact: Artifact) -> Any:
    """Complete a session of one part."""
    sent = [SentPart(1, len(artifact.content), "sent")]
    return artifact.complete(store, NAME, session_of(endpoint, artifact), sent)


def test_the_end_of_a_session_is_its_receipt(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts
) -> None:
    """Only what was held back is sent."""
    artifact = artifacts.of(bytes(MULTIPLE) + b"the end")
    server.says = [stored(artifact)]
    assert complete(store, endpoint, artifact).etag == "7"
    assert server.only().body == b"the end"


def test_a_session_whose_object_has_another_checksum_is_no_receipt(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts
) -> None:
    """As of a put."""
    artifact = artifacts.of(bytes(MULTIPLE) + b"the end")
    server.says = [stored(artifact, crc32c="AAAAAA==")]
    with pytest.raises(TransientError, match="arrived damaged"):
        complete(store, endpoint, artifact)


@pytest.mark.parametrize("has", [0, MULTIPLE])
def test_a_session_that_does_not_end_is_no_receipt(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts, has: int
) -> None:
    """An end that was not taken is sent again; what was lost before it is begun anew."""
    artifact = artifacts.of(bytes(MULTIPLE) + b"the end")
    server.says = [going_on(has), NOT_THERE]
    with pytest.raises(TransientError) as failed:
        complete(store, endpoint, artifact)
    assert isinstance(failed.value, SessionLostError) is (has == 0)


def test_the_end_of_a_damaged_file_is_never_sent(
    server: Scripted, store: ObjectStore, endpoint: str, artifacts: Artifacts
) -> None:
    """It got shorter after its parts were sent."""
    artifact = artifacts.of(bytes(MULTIPLE) + b"the end")
    artifact.blob.write_bytes(bytes(MULTIPLE) + b"the")
    server.says = [stored(artifact)]
    with pytest.raises(DamagedError):
        complete(store, endpoint, artifact)
    store.close()
    server.end()
    assert not any(one.whole for one in server.asked)


# -- copies and reads ---------------------------------------------------------------------------


def test_a_copy_is_asked_for_until_it_is_done(
    server: Scripted, store: ObjectStore, artifacts: Artifacts
) -> None:
    """With the service's token; its answers before the last tell of no object."""
    artifact = artifacts.of(b"content")
    steps = [{"done": False, "rewriteToken": f"token-{one}"} for one in range(3)]
    server.says = [
        NOT_THERE,
        stored(artifact, metadata={}),
        NOT_THERE,
        *[Said.document(step) for step in steps],
        Said.document({"done": True, "resource": resource_of(artifact)}),
    ]
    assert store.copy("source", NAME, CREATE, artifact.meta).etag == "7"
    asked = [one for one in server.asked if "rewriteTo" in one.path]
    tokens = [one.query.get("rewriteToken") for one in asked]
    assert tokens == [None, "token-0", "token-1", "token-2"]
    assert {one.query["sourceGeneration"] for one in asked} == {"7"}


@pytest.mark.parametrize("answer", [{}, {"done": False}, {"done": True}, {"done": True, "x": {}}])
def test_a_copy_whose_answer_was_cut_off_is_no_receipt(
    server: Scripted, store: ObjectStore, artifacts: Artifacts, answer: dict[str, Any]
) -> None:
    """Nor is it asked for without end."""
    artifact = artifacts.of(b"content")
    source = stored(artifact, metadata={})
    server.says = [NOT_THERE, source, NOT_THERE, *[Said.document(answer)] * 9]
    with pytest.raises(TransientError, match="cut off"):
        store.copy("source", NAME, CREATE, artifact.meta)
    assert len(server.asked) == 4


def test_a_read_that_is_cut_off_is_a_fault_that_passes(
    server: Scripted, store: ObjectStore
) -> None:
    """And not the end of the object: who reads goes on from there."""
    server.says = [Said(200, b"half of", missing=7), Said(206, b" the content")]
    with pytest.raises(TransientError):
        content_of(store, NAME)
    assert b"".join(store.read(NAME, 7)) == b" the content"
    assert server.asked[-1].headers["range"] == "bytes=7-"
    assert server.asked[-1].headers["accept-encoding"] == "identity"


def test_what_is_not_there_is_not_read(server: Scripted, store: ObjectStore) -> None:
    """Nor is a refusal taken for its content."""
    server.says = [NOT_THERE, Said(503, b"busy")]
    with pytest.raises(NotFoundError):
        content_of(store, NAME)
    with pytest.raises(TransientError):
        content_of(store, NAME)


# -- the way ------------------------------------------------------------------------------------


def test_a_service_that_is_not_reached_is_named(
    server: Scripted, endpoint: str, store: ObjectStore, artifacts: Artifacts
) -> None:
    """It may come back."""
    del endpoint
    server.end()
    artifact = artifacts.of(b"content")
    session = session_of("http://127.0.0.1:9", artifact)
    with pytest.raises(TransientError) as failed:
        store.sent_parts(NAME, session, [])
    assert "secret" not in str(failed.value)
    with pytest.raises(TransientError):
        artifact.put(store, NAME)


def test_a_proxy_is_asked_for_the_services_own_address(
    server: Scripted, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not at all where the environment makes an exception."""
    monkeypatch.setenv("http_proxy", server.endpoint)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    artifact = artifacts.of(b"content")
    for endpoint, origin in ((PROXIED, PROXIED), (server.endpoint, "")):
        place = Place.of(f"gs://bucket/pre?endpoint={endpoint}")
        store = open_store(replace(place, capabilities=Capabilities(endpoint)))
        server.says = [stored(artifact)]
        artifact.put(store, NAME)
        store.close()
        assert server.asked[-1].origin == origin
