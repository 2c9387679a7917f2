"""Drops the answer to each request that succeeded: it is done, once, whatever is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.faults import DropAnswer, Fault, first
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request
from tests.servers.services import GcsService, Service
from uploader.errors import SessionLostError, TransientError
from uploader.model import PutMode, Receipt
from uploader.place import Place
from uploader.policy import TRIES_IN_STEP, try_in_step
from uploader.store import limits
from uploader.store.base import ObjectStore
from uploader.store.gcs import composing
from uploader.store.opening import open_store
from uploader.store.s3 import copying
from uploader.store.testing.given import Artifact, Artifacts, content_of, names_in, unfinished

NAME = "name"
TARGET = "target"


class Insistent:
    """A store of which each call is made as workers make it, by one attempt after the other."""

    def __init__(self, place: Place) -> None:
        """Open the store."""
        self._store = open_store(place)

    def __getattr__(self, name: str) -> Any:
        """Return a method that is called again while its failures pass."""
        method = getattr(self._store, name)

        def call(*arguments: Any, **more: Any) -> Any:
            while True:
                try:
                    return try_in_step(lambda: method(*arguments, **more))
                except TransientError:
                    continue  # the test's time limit bounds it

        return call


@dataclass(frozen=True)
class Scene:
    """Insistent store, the same store past the proxy, and what to put there."""

    store: Any  #: insistent
    direct: ObjectStore
    artifacts: Artifacts
    proxy: FaultProxy
    before: int  #: requests of other tests

    def lost(self, kind: Kind) -> int:
        """Return how many requests were done and not answered."""
        return sum(
            request.kind == kind and request.status is None and request.upstream_status is not None
            for request in self.proxy.requests[self.before :]
        )


def put_whole(scene: Scene, mode: PutMode) -> tuple[Artifact, Receipt]:
    """Send a small artifact."""
    artifact = scene.artifacts.of(b"bytes of a whole artifact")
    return artifact, artifact.put(scene.store, NAME, mode)


def put_parts(scene: Scene, mode: PutMode) -> tuple[Artifact, Receipt]:
    """Send one in parts."""
    artifact, parts = scene.artifacts.for_parts(scene.direct)
    session = artifact.begin(scene.store, NAME, mode)
    sent = [artifact.send(scene.store, NAME, session, part) for part in parts]
    assert scene.store.sent_parts(NAME, session, sent) == sent
    return artifact, artifact.complete(scene.store, NAME, session, sent, mode)


def copy(scene: Scene, mode: PutMode) -> tuple[Artifact, Receipt]:
    """Copy an artifact that is there."""
    target = scene.artifacts.of(b"bytes of the artifact that is copied")
    target.put(scene.direct, TARGET)
    link = Artifact(target.blob, target.content)
    return link, scene.store.copy(TARGET, NAME, mode, link.meta)


@pytest.fixture(scope="module")
def proxy(service: Service) -> Iterator[FaultProxy]:
    """Stand before the service, in all these tests."""
    with FaultProxy(service.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stores(service: Service, proxy: FaultProxy) -> Iterator[tuple[Insistent, ObjectStore]]:
    """Return a store behind the proxy, and the same past it; to make one takes half a second."""
    url = f"{service.scheme}://{service.make_bucket().name}/runs"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment().items():
            patch.setenv(name, value)
        behind, past = (
            Place.of(url, {"endpoint": endpoint}) for endpoint in (proxy.endpoint, service.endpoint)
        )
        direct = open_store(past)
        can = direct.prepare(first=True)
        assert can
        behind = replace(behind, capabilities=replace(can, endpoint=proxy.endpoint))
        insistent = Insistent(behind)
        yield insistent, direct
        insistent.close()
        direct.close()


@pytest.fixture
def scene(
    stores: tuple[Insistent, ObjectStore], proxy: FaultProxy, tmp_path: Path
) -> Iterator[Scene]:
    """Return them as a place with nothing in it; for now the proxy drops nothing."""
    scene = Scene(*stores, Artifacts(tmp_path / "spool"), proxy, len(proxy.requests))
    yield scene
    proxy.decide = lambda _: None
    for name in names_in(scene.direct):
        scene.direct.delete(name)


WAYS = [
    (Kind.PUT, put_whole),
    (Kind.BEGIN, put_parts),
    (Kind.PART, put_parts),
    (Kind.STATUS, put_parts),
    (Kind.COMPLETE, put_parts),
    (Kind.COPY, copy),
]


@pytest.mark.parametrize("times", [1, TRIES_IN_STEP + 1])
@pytest.mark.parametrize("mode", PutMode)
@pytest.mark.parametrize(("kind", "way"), WAYS, ids=[str(kind) for kind, _ in WAYS])
def test_what_was_done_and_not_answered_is_done_once(
    scene: Scene,
    kind: Kind,
    way: Callable[[Scene, PutMode], tuple[Artifact, Receipt]],
    mode: PutMode,
    times: int,
) -> None:
    """One object, of this upload and of its bytes, as the receipt says; parts are left nowhere."""
    scene.proxy.decide = first(kind, DropAnswer(), times)
    artifact, receipt = way(scene, mode)
    assert scene.lost(kind)
    info = scene.direct.head(NAME)
    assert info.upload_id == artifact.upload_id
    assert (info.etag, info.size, info.crc32c) == (receipt.etag, receipt.size, receipt.crc32c)
    assert content_of(scene.direct, NAME) == artifact.content
    assert [name for name in names_in(scene.direct) if name != TARGET] == [NAME]
    unfinished(scene.direct)
    assert not unfinished(scene.direct)


def test_an_overwrite_whose_answer_was_lost_is_not_sent_again(scene: Scene) -> None:
    """It looks before it puts, and finds that the object is its own already."""
    scene.proxy.decide = first(Kind.PUT, DropAnswer())
    put_whole(scene, PutMode.OVERWRITE)
    requests = scene.proxy.requests[scene.before :]
    assert sum(request.kind == Kind.PUT for request in requests) == 1


@pytest.mark.parametrize("service", ["s3"], indirect=True)
@pytest.mark.parametrize("mode", PutMode)
@pytest.mark.parametrize("kind", [Kind.BEGIN, Kind.PART_COPY, Kind.COMPLETE])
def test_a_copy_in_parts_of_which_an_answer_was_lost_is_made_once(
    scene: Scene, kind: Kind, mode: PutMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any other; what a try that failed had begun is aborted by it, or by `uploader gc`."""
    monkeypatch.setattr(copying, "WHOLE_MAX", 8)
    scene.proxy.decide = first(kind, DropAnswer(), TRIES_IN_STEP + 1)
    link, receipt = copy(scene, mode)
    assert scene.lost(kind)
    info = scene.direct.head(NAME)
    assert (info.upload_id, info.etag) == (link.upload_id, receipt.etag)
    assert content_of(scene.direct, NAME) == link.content
    unfinished(scene.direct)
    assert not unfinished(scene.direct)


def test_an_abort_and_a_deletion_whose_answers_were_lost_are_done(scene: Scene) -> None:
    """What is gone already is success."""
    artifact, parts = scene.artifacts.for_parts(scene.direct)
    session = artifact.begin(scene.store, NAME)
    artifact.send(scene.store, NAME, session, parts[0])
    scene.proxy.decide = first(Kind.ABORT, DropAnswer(), TRIES_IN_STEP + 1)
    artifact.abort(scene.store, NAME, session)
    assert scene.lost(Kind.ABORT)
    with pytest.raises(SessionLostError):
        artifact.send(scene.direct, NAME, session, parts[1])
    assert not unfinished(scene.direct)
    artifact.put(scene.direct, NAME)
    scene.proxy.decide = first(Kind.DELETE, DropAnswer(), TRIES_IN_STEP + 1)
    scene.store.delete(NAME)
    assert scene.lost(Kind.DELETE)
    assert names_in(scene.direct) == []


@pytest.mark.parametrize("mode", PutMode)
def test_a_copy_of_ours_stays_a_success_when_its_target_was_replaced_since(
    scene: Scene, mode: PutMode
) -> None:
    """Its answer was lost, a newer version of the target came: the copy that was made counts."""
    old, new = scene.artifacts.of(b"version 1"), scene.artifacts.of(b"version 2, longer")
    old.put(scene.direct, TARGET)
    link = Artifact(old.blob, old.content)
    scene.direct.copy(TARGET, NAME, mode, link.meta)
    new.put(scene.direct, TARGET, PutMode.OVERWRITE)
    receipt = scene.store.copy(TARGET, NAME, mode, link.meta)
    assert content_of(scene.direct, NAME) == old.content
    assert (receipt.size, receipt.crc32c) == (len(old.content), old.meta.crc32c)


COMPOSES = 3  #: for three parts, two by two: the last one makes the object


@pytest.fixture
def in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have GCS take parts as objects, and put them together two by two."""
    monkeypatch.setattr(limits, "GCS", replace(limits.GCS, in_order_below=0))
    monkeypatch.setattr(composing, "SOURCES_MAX", 2)


@pytest.mark.usefixtures("in_stages")
@pytest.mark.parametrize("service", ["gs"], indirect=True)
@pytest.mark.parametrize("times", [1, TRIES_IN_STEP + 1])
@pytest.mark.parametrize("mode", PutMode)
@pytest.mark.parametrize("kind", [Kind.PUT, Kind.LIST, Kind.COMPOSE, Kind.DELETE])
def test_an_object_made_of_parts_that_are_objects_is_made_once(
    scene: Scene, kind: Kind, mode: PutMode, times: int
) -> None:
    """Whether the answer was lost of a part, the list of them, a stage, the last or a removal."""
    for skipped in range(COMPOSES if kind is Kind.COMPOSE else 1):
        scene.proxy.decide = after(skipped, first(kind, DropAnswer(), times), kind)
        artifact, receipt = put_parts(scene, mode)
        assert scene.lost(kind)
        info = scene.direct.head(NAME)
        assert (info.upload_id, info.etag) == (artifact.upload_id, receipt.etag)
        assert content_of(scene.direct, NAME) == artifact.content
        assert not unfinished(scene.direct)
        scene.direct.delete(NAME)


def after(
    skipped: int, decide: Callable[[Request], Fault | None], kind: Kind
) -> Callable[[Request], Fault | None]:
    """Let so many requests of a kind pass before."""
    left = skipped

    def decide_later(request: Request) -> Fault | None:
        nonlocal left
        if request.kind == kind and left:
            left -= 1
            return None
        return decide(request)

    return decide_later


@pytest.mark.parametrize("service", ["gs"], indirect=True)
@pytest.mark.parametrize("mode", PutMode)
def test_a_copy_in_several_calls_of_which_answers_were_lost_is_made_once(
    scene: Scene, service: Service, mode: PutMode
) -> None:
    """The service copies a little in each call; what it had done of the copy is not in the way."""
    assert isinstance(service, GcsService)
    with service.server.behaving(rewrite_bytes=16):
        scene.proxy.decide = first(Kind.COPY, DropAnswer(), TRIES_IN_STEP + 1)
        link, receipt = copy(scene, mode)
    assert scene.lost(Kind.COPY) == TRIES_IN_STEP + 1
    assert any("rewriteToken" in request.query for request in scene.proxy.requests)
    info = scene.direct.head(NAME)
    assert (info.upload_id, info.etag) == (link.upload_id, receipt.etag)
    assert content_of(scene.direct, NAME) == link.content
