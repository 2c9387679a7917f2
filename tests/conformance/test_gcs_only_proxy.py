"""Reach GCS by way of a proxy, as where nothing else leads out."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.logged_in import (
    Scene,
    Servers,
    logging_in,
    serving,
    use_all,
)
from uploader.errors import (
    DamagedError,
    PermanentError,
    StoreError,
    TransientError,
)
from uploader.store.gcs.sessions import Session
from uploader.store.testing.given import names_in

NAME = "a/name"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """What is started once for all tests."""
    with serving(tmp_path_factory.mktemp("tls")) as servers:
        yield servers


@pytest.fixture
def scene(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """An environment that says nothing about Google, and does not let anything leave."""
    with logging_in(servers, tmp_path, monkeypatch) as scene:
        yield scene


# -- by way of a proxy --------------------------------------------------------------------------


def test_all_goes_by_a_proxy_where_there_is_one(scene: Scene) -> None:
    """Tokens, files, sessions, parts: none tries to get past it."""
    scene.by_proxy(scene.service.endpoint)
    scene.by_proxy(scene.tokens.endpoint)
    use_all(scene, scene.open())
    there = {one.endpoint.rpartition("/")[2] for one in (scene.service, scene.tokens)}
    assert there <= set(scene.tunnel.asked)


def test_a_proxy_that_refuses_is_a_fault_that_passes(scene: Scene) -> None:
    """Nobody gets past it; it may let us through later."""
    scene.by_proxy(scene.service.endpoint)
    scene.by_proxy(scene.tokens.endpoint)
    store = scene.open()
    artifact = scene.artifacts.of(b"content")
    artifact.put(store, NAME)
    store.close()  # its connections, through which it would go on
    ways = dict(scene.tunnel.ways)
    scene.tunnel.ways.clear()
    with pytest.raises(TransientError, match="403"):
        artifact.put(store, NAME)
    scene.tunnel.ways |= ways
    assert artifact.put(store, NAME).size == len(b"content")


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_damaged_file_is_not_finished_by_a_proxy_either(scene: Scene, size: int) -> None:
    """The service waits for its end in vain."""
    scene.by_proxy(scene.service.endpoint)
    scene.by_proxy(scene.tokens.endpoint)
    store = scene.open()
    artifact = scene.artifacts.of(bytes(size))
    artifact.blob.write_bytes(bytes(size - 1) + b"!")
    with pytest.raises(DamagedError, match="spool file damaged"):
        artifact.put(store, NAME)
    assert names_in(store) == []


def test_no_fault_of_a_proxy_tells_the_uri_of_a_session(scene: Scene) -> None:
    """The SDK's session names what it asked for in what it raises."""
    scene.by_proxy(scene.service.endpoint)
    scene.by_proxy(scene.tokens.endpoint)
    store = scene.open()
    artifact, parts = scene.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    store.close()
    scene.tunnel.ways.clear()
    secret = Session.of(session).uri.rpartition("upload_id=")[2]
    for ask in (
        lambda: artifact.send(store, NAME, session, parts[0]),
        lambda: store.sent_parts(NAME, session, []),
        lambda: artifact.abort(store, NAME, session),
    ):
        with pytest.raises(StoreError) as failed:
            ask()
        assert "403" in str(failed.value)
        assert not isinstance(failed.value, PermanentError)
        assert secret not in "".join(traceback.format_exception(failed.value))
