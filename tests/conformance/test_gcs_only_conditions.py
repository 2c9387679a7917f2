"""Hold GCS to its preconditions: whatever is written says what it may replace, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.watched_gcs import WatchedGcs, watching_gcs, write_all_ways
from tests.servers.faults import DropAnswer, Refuse, first
from tests.servers.kinds import Refusal
from tests.servers.requests import Kind
from tests.servers.strict_gcs.running import StrictGcs
from uploader.errors import (
    ConflictError,
    PermanentError,
    TransientError,
)
from uploader.model import PutMode
from uploader.store.base import ObjectStore
from uploader.store.testing.given import Artifact, content_of, is_there, names_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
COPY = "a/copy"

#: The requests that bring an object to a name.
MAKING = (Kind.PUT, Kind.BEGIN, Kind.COPY, Kind.COMPOSE)


@pytest.fixture(scope="module")
def everything(
    strict_gcs: StrictGcs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedGcs]:
    """The strict server, watched."""
    with watching_gcs(strict_gcs, tmp_path_factory.mktemp("spools")) as watched:
        yield watched


@pytest.fixture
def watched(everything: WatchedGcs) -> WatchedGcs:
    """The strict server with nothing that another test left."""
    everything.begin_test()
    return everything


def test_whatever_is_created_is_created_under_generation_0(watched: WatchedGcs) -> None:
    """Whole, by a session, its parts, put together, copied, as a pointer."""
    write_all_ways(watched, watched.open())
    puts = len(["whole", "pointer"]) + 3  # the parts
    assert watched.conditions(Kind.PUT) == ["0"] * puts
    for kind in (Kind.BEGIN, Kind.COMPOSE, Kind.COPY):
        assert watched.conditions(kind) == ["0"], kind


def overwrite_each_way(watched: WatchedGcs, store: ObjectStore) -> dict[str, Callable[[], Any]]:
    """Return what overwrites `NAME`, by the kind of request that brings it there."""
    small = watched.artifacts.of(b"ours")
    return {
        Kind.PUT: lambda: small.put(store, NAME, OVERWRITE),
        Kind.BEGIN: lambda: watched.put_parts(store, NAME, OVERWRITE),
        Kind.COMPOSE: lambda: watched.put_parts_at_once(store, NAME, OVERWRITE),
        Kind.COPY: lambda: store.copy("source", NAME, OVERWRITE, small.meta),
    }


@pytest.mark.parametrize("kind", MAKING)
def test_what_is_overwritten_is_the_generation_that_was_looked_at(
    watched: WatchedGcs, kind: Kind
) -> None:
    """And a name that is free is created, not overwritten."""
    store = watched.open()
    watched.put_by_another("source", b"source")
    overwrite_each_way(watched, store)[kind]()
    known = watched.generation(NAME)
    overwrite_each_way(watched, store)[kind]()
    asked = [one for one in watched.requests(kind) if one.key.endswith(NAME)]
    assert [one.query["ifGenerationMatch"] for one in asked] == ["0", known]


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        (Kind.PUT, Kind.PUT),
        (Kind.BEGIN, Kind.COMPLETE),
        (Kind.COMPOSE, Kind.COMPOSE),
        (Kind.COPY, Kind.COPY),
    ],
)
@pytest.mark.parametrize("there", [True, False], ids=["there", "free"])
def test_an_overwrite_replaces_what_it_looked_at_and_nothing_newer(
    watched: WatchedGcs, kind: Kind, moment: Kind, there: bool
) -> None:
    """Another's object that comes after the look stays, and is looked at in turn."""
    store = watched.open()
    watched.put_by_another("source", b"source")
    if there:
        watched.put_by_another(NAME, b"old")
    overwrite = overwrite_each_way(watched, store)[kind]
    watched.just_before(moment, NAME, b"newer")
    with pytest.raises(TransientError, match="replaced by another"):
        overwrite()
    assert content_of(store, NAME) == b"newer"
    overwrite()
    assert content_of(store, NAME) != b"newer"
    assert store.sweep(set(), -3600) == [] or kind is Kind.COMPOSE  # parts wait for the next try


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        (Kind.PUT, Kind.PUT),
        (Kind.BEGIN, Kind.COMPLETE),
        (Kind.COMPOSE, Kind.COMPOSE),
        (Kind.COPY, Kind.COPY),
    ],
)
def test_a_create_is_for_the_service_to_decide(
    watched: WatchedGcs, kind: Kind, moment: Kind
) -> None:
    """Another's object that comes at the last moment stays."""
    store = watched.open()
    watched.put_by_another("source", b"source")
    small = watched.artifacts.of(b"ours")
    create: dict[Kind, Callable[[], Any]] = {
        Kind.PUT: lambda: small.put(store, NAME),
        Kind.BEGIN: lambda: watched.put_parts(store, NAME),
        Kind.COMPOSE: lambda: watched.put_parts_at_once(store, NAME),
        Kind.COPY: lambda: store.copy("source", NAME, CREATE, small.meta),
    }
    watched.just_before(moment, NAME, b"another's")
    with pytest.raises(ConflictError, match="already exists"):
        create[kind]()
    assert watched.requests(moment)[-1].status == 412
    assert content_of(store, NAME) == b"another's"


@pytest.mark.parametrize("mode", PutMode)
def test_a_copy_is_of_the_version_that_was_looked_at(watched: WatchedGcs, mode: PutMode) -> None:
    """Its size and checksum go with it: another version under them would be a lie."""
    store = watched.open()
    watched.artifacts.of(b"version 1").put(store, NAME)
    known = watched.generation(NAME)
    link = watched.artifacts.of(b"")
    watched.just_before(Kind.COPY, NAME, b"version 2, another's")
    with pytest.raises(TransientError, match="was replaced while it was copied"):
        store.copy(NAME, COPY, mode, link.meta)
    assert watched.only(Kind.COPY).query["sourceGeneration"] == known
    assert not is_there(store, COPY)
    store.copy(NAME, COPY, mode, link.meta)
    assert content_of(store, COPY) == b"version 2, another's"


def test_a_copy_that_takes_several_requests_has_its_condition_in_each(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """And makes one object, of the whole."""
    store = watched.open()
    large, _ = watched.put_parts(store, NAME)
    known = watched.generation(NAME)
    with strict_gcs.behaving(rewrite_bytes=1 << 20):
        store.copy(NAME, COPY, CREATE, Artifact(large.blob, large.content).meta)
    asked = watched.requests(Kind.COPY)
    assert ["rewriteToken" in one.query for one in asked] == [False, True, True]
    assert {one.query["sourceGeneration"] for one in asked} == {known}
    assert {one.query["ifGenerationMatch"] for one in asked} == {"0"}
    assert content_of(store, COPY) == large.content
    assert watched.described(COPY)["crc32c"] == watched.described(NAME)["crc32c"]


def test_a_delete_is_of_what_is_there_and_of_nothing_newer(watched: WatchedGcs) -> None:
    """Another's object that comes after the look stays."""
    store = watched.open()
    watched.put_by_another(NAME, b"old")
    known = watched.generation(NAME)
    watched.just_before(Kind.DELETE, NAME, b"newer")
    with pytest.raises(TransientError, match="replaced by another at the same moment"):
        store.delete(NAME)
    assert watched.only(Kind.DELETE).query["ifGenerationMatch"] == known
    assert content_of(store, NAME) == b"newer"
    store.delete(NAME)
    assert not is_there(store, NAME)


@pytest.mark.parametrize("mode", PutMode)
def test_a_refusal_because_of_our_own_object_is_success(watched: WatchedGcs, mode: PutMode) -> None:
    """Its answer was lost: what stands there has our upload's id, and the bytes that are meant."""
    store = watched.open()
    artifact = watched.artifacts.of(b"ours")
    watched.proxy.decide = first(Kind.PUT, DropAnswer())
    with pytest.raises(TransientError):
        artifact.put(store, NAME, mode)
    receipt = artifact.put(store, NAME, mode)
    assert (receipt.etag, receipt.size) == (watched.generation(NAME), len(b"ours"))
    assert receipt.crc32c == artifact.meta.crc32c
    told = [one.upstream_status for one in watched.requests(Kind.PUT)]
    assert told == ([200, 412] if mode is CREATE else [200])  # an overwrite looks first


def test_who_may_not_replace_finds_the_object_that_an_earlier_try_made(
    watched: WatchedGcs,
) -> None:
    """Whether the permission or the condition is looked at first is for the service to say."""
    store = watched.open()
    small = watched.artifacts.of(b"ours")
    large, parts = watched.artifacts.for_parts(store)
    small.put(store, NAME)
    session = large.begin(store, "large")
    sent = [large.send(store, "large", session, part) for part in parts]
    made = large.complete(store, "large", session, sent)
    watched.proxy.decide = lambda one: (
        Refuse(Refusal.DENIED) if one.kind in (Kind.PUT, Kind.COMPLETE) else None
    )
    assert small.put(store, NAME).etag == watched.generation(NAME)
    assert large.complete(store, "large", session, sent).etag == made.etag
    with pytest.raises(PermanentError, match=r"storage\.objects\.delete to overwrite"):
        watched.artifacts.of(b"another's").put(store, NAME)
    with pytest.raises(PermanentError, match=r"storage\.objects\.create"):
        watched.artifacts.of(b"new").put(store, COPY)


def test_an_object_with_our_id_and_other_bytes_is_no_success(watched: WatchedGcs) -> None:
    """Nobody but a person can tell how it came to be there."""
    store = watched.open()
    artifact = watched.artifacts.of(b"ours")
    artifact.put(store, NAME)
    with pytest.raises(PermanentError, match="but not its bytes"):
        replace(watched.artifacts.of(b"more"), upload_id=artifact.upload_id).put(store, NAME)


UNSAFE = {"conditional_put": False, "conditional_complete": False, "conditional_copy": False}


@pytest.mark.parametrize("way", ["put", "session", "copy"])
def test_an_endpoint_that_cannot_create_only_is_not_trusted_with_it(
    watched: WatchedGcs, way: str
) -> None:
    """Refused with what to do; nothing was written. Who accepts the risk may, by looking first."""
    watched.put_by_another("source", b"source")
    small = watched.artifacts.of(b"ours")

    def create(store: ObjectStore, name: str) -> None:
        if way == "put":
            small.put(store, name)
        elif way == "session":
            watched.put_parts(store, name)
        else:
            store.copy("source", name, CREATE, small.meta)

    store = watched.open(can={**UNSAFE, "compose": False})
    with pytest.raises(PermanentError, match="--allow-unsafe-create"):
        create(store, NAME)
    assert names_in(store) == ["source"]
    store = watched.open(can={**UNSAFE, "compose": False}, allow_unsafe_create="yes")
    create(store, NAME)
    watched.put_by_another("taken", b"another's")
    with pytest.raises(ConflictError):
        create(store, "taken")
    assert content_of(store, "taken") == b"another's"
    assert {one for kind in MAKING for one in watched.conditions(kind)} == {None}
