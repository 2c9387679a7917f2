"""Hold GCS to what only GCS has, in writing: options, preconditions, checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.watched_gcs import WatchedGcs, parts_at_once, watching_gcs
from tests.servers.faults import Answer, DropAnswer, first
from tests.servers.plain import wait_until
from tests.servers.requests import Kind
from tests.servers.strict_gcs.running import StrictGcs
from uploader.drain.steps import Batch, Link, PutWhole, answers_in
from uploader.drain.worker import Worker
from uploader.errors import (
    ConflictError,
    ErrorClass,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import PutMode, SymlinkMode
from uploader.store.base import ObjectStore
from uploader.store.testing.given import Artifact, content_of, is_there, names_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
COPY = "a/copy"
POINTER = "pointer.symlink"

KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
PROJECT = "fox"

#: The requests that bring an object to a name.
MAKING = (Kind.PUT, Kind.BEGIN, Kind.COPY, Kind.COMPOSE)
OF_A_SESSION = (Kind.PART, Kind.COMPLETE, Kind.STATUS, Kind.ABORT)


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


def write_all_ways(watched: WatchedGcs, store: ObjectStore) -> dict[str, Artifact]:
    """Store a whole object, one by a session, one of parts at once, a copy, and a pointer."""
    small = watched.artifacts.of(b"the bytes of a whole object")
    small.put(store, "whole")
    large, _ = watched.put_parts(store, "large")
    made = {
        "whole": small,
        "large": large,
        "composed": watched.put_parts_at_once(store, "composed"),
        "copy": Artifact(small.blob, small.content),
        POINTER: watched.artifacts.of(store.full_name("whole").encode()),
    }
    store.copy("whole", "copy", CREATE, made["copy"].meta)
    Link("whole", "pointer", CREATE, SymlinkMode.POINTER, made[POINTER].meta).perform(store)
    return made


# -- options ------------------------------------------------------------------------------------


def test_options_reach_every_object_however_it_is_made(watched: WatchedGcs) -> None:
    """Storage class, KMS key, ACL and metadata: of each way, as the service keeps them."""
    store = watched.open(
        storage_class="NEARLINE",
        kms_key_id=KEY,
        metadata="project=köln",
        acl="bucketOwnerRead",
    )
    for name in write_all_ways(watched, store):
        told = watched.described(name)
        assert told["storageClass"] == "NEARLINE", name
        assert told["kmsKeyName"].startswith(KEY), name
        assert told["metadata"]["project"] == "köln", name
        assert ("project-owners-test", "READER") in watched.acl_of(name), name


def test_the_parts_of_an_object_have_its_options_too(watched: WatchedGcs) -> None:
    """Objects of another storage class cannot be put together, nor may bytes lie about in clear."""
    store = watched.open(storage_class="NEARLINE", kms_key_id=KEY, acl="projectPrivate")
    with parts_at_once():
        artifact, (one, *_) = watched.artifacts.for_parts(store)
        artifact.send(store, NAME, artifact.begin(store, NAME), one)
    (part,) = watched.all_names()
    told = watched.described(part)
    assert told["storageClass"] == "NEARLINE"
    assert told["kmsKeyName"].startswith(KEY)
    assert ("project-viewers-test", "READER") in watched.acl_of(part)


def test_every_object_tells_where_it_comes_from(watched: WatchedGcs) -> None:
    """Upload id, CRC32C of the whole, time of the source, run and rank."""
    for name, artifact in write_all_ways(watched, watched.open()).items():
        told = watched.described(name)["metadata"]
        assert told == {
            "uploader-id": artifact.upload_id,
            "uploader-crc32c": f"{artifact.meta.crc32c:08x}",
            "uploader-mtime": repr(artifact.meta.source_mtime),
            "uploader-run": artifact.meta.run,
            "uploader-rank": str(artifact.meta.rank),
        }, name


def test_our_own_metadata_goes_over_that_of_the_user(watched: WatchedGcs) -> None:
    """By it a retry knows its own object: nothing is told in its place."""
    artifact = watched.artifacts.of(b"content")
    with pytest.raises(ValueError, match="uploader-"):
        watched.open(metadata="uploader-id=another")
    artifact.put(watched.open(metadata="Uploader=x"), NAME)
    told = watched.described(NAME)["metadata"]
    assert (told["Uploader"], told["uploader-id"]) == ("x", artifact.upload_id)


def test_the_project_that_pays_is_named_with_every_request(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """The service refuses each without it; a session's URI is the right to use it."""
    with strict_gcs.behaving(user_project=PROJECT):
        store = watched.open(user_project=PROJECT)
        write_all_ways(watched, store)
        content_of(store, "whole")
        names_in(store)
        store.sweep(set(), 0)
        store.delete("whole")
        artifact, _ = watched.artifacts.for_parts(store)
        artifact.abort(store, NAME, artifact.begin(store, NAME))
        store.prepare(first=False)
        watched.open(tried=False, user_project=PROJECT).prepare(first=True)
        with pytest.raises(PermanentError, match="requester pays"):
            watched.open().head("large")
    kinds = {*MAKING, *OF_A_SESSION, Kind.READ, Kind.HEAD, Kind.LIST, Kind.DELETE}
    asked = watched.proxy.requests[watched._before : -1]
    assert {one.kind for one in asked} == kinds
    others = [one for one in asked if one.kind not in OF_A_SESSION]
    assert {one.query.get("userProject") for one in others} == {PROJECT}


def test_who_forgot_the_project_that_pays_is_told_the_option(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """With its flag; another try would not help."""
    with (
        strict_gcs.behaving(user_project=PROJECT),
        pytest.raises(PermanentError, match="--user-project"),
    ):
        watched.open().head(NAME)


# -- preconditions ------------------------------------------------------------------------------


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


# -- checksums ----------------------------------------------------------------------------------


def spoiled(artifact: Artifact) -> Artifact:
    """Return an upload of the same id and checksum whose bytes are others: damaged on the way."""
    return Artifact(artifact.blob, bytes(len(artifact.content)), artifact.upload_id)


def test_a_wrong_checksum_of_a_put_is_refused_by_the_service_itself(watched: WatchedGcs) -> None:
    """Whatever is damaged on the way is not stored; sent again, it is."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    wrong = replace(artifact.body, inline=b"CONTENT")  # read unchecked, as if damaged on the way
    with pytest.raises(TransientError, match="CRC32C"):
        store.put(NAME, wrong, CREATE, artifact.meta)
    assert not is_there(store, NAME)
    assert artifact.put(store, NAME).size == len(artifact.content)


def test_a_wrong_checksum_of_a_session_is_refused_at_its_end(watched: WatchedGcs) -> None:
    """What a session has cannot be mended: it begins anew, and nothing was ever visible."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    sent = []
    for part in parts:
        body = artifact.part_body(part)
        if part.number == 1:
            body = replace(body, path="", offset=0, inline=bytes(part.size))
        sent.append(store.put_part(NAME, session, part, body))
    with pytest.raises(SessionLostError, match="CRC32C"):
        artifact.complete(store, NAME, session, sent)
    assert not is_there(store, NAME)
    watched.put_parts(store, NAME)


def test_a_wrong_checksum_of_a_part_is_refused_by_the_service_itself(watched: WatchedGcs) -> None:
    """It alone is sent again."""
    store = watched.open()
    with parts_at_once():
        artifact, (one, *others) = watched.artifacts.for_parts(store)
        session = artifact.begin(store, NAME)
        wrong = replace(artifact.part_body(one), inline=bytes(one.size))
        with pytest.raises(TransientError, match="CRC32C"):
            store.put_part(NAME, session, one, wrong)
        assert watched.all_names() == set()
        sent = [artifact.send(store, NAME, session, part) for part in (one, *others)]
        artifact.complete(store, NAME, session, sent)
    assert content_of(store, NAME) == artifact.content


def test_a_damaged_file_is_never_finished(watched: WatchedGcs) -> None:
    """The service gets all but its end, or nothing: no object is made of it, nor a part."""
    store = watched.open()
    artifact = watched.artifacts.of(bytes(3 << 20))
    artifact.blob.write_bytes(bytes((3 << 20) - 1) + b"!")
    with pytest.raises(Exception, match="spool file damaged"):
        artifact.put(store, NAME)
    wait_until(lambda: watched.requests(Kind.PUT))
    assert watched.only(Kind.PUT).upstream_status is None
    assert watched.all_names() == set()


# -- requests -----------------------------------------------------------------------------------


def test_small_files_that_go_together_take_one_request_each(watched: WatchedGcs) -> None:
    """And one for all of them: whether any of their names is a symlink's."""
    artifact = watched.artifacts.of(b"small")
    watched.open().put("files/5.symlink", artifact.body, CREATE, artifact.meta)
    steps = [
        PutWhole(
            f"files/{number}", artifact.body, CREATE, replace(artifact.meta, upload_id=f"u{number}")
        )
        for number in range(10)
    ]
    worker = Worker(watched.place())
    watched.forget()
    answers = answers_in(worker.answer(Batch(tuple(steps))), len(steps))
    worker._close()
    assert [one.failure and one.failure.error_class for one in answers] == [
        ErrorClass.CONFLICT if number == 5 else None for number in range(10)
    ]
    assert len(watched.requests(Kind.PUT)) == 9
    assert len(watched.requests(Kind.HEAD)) == 1  # of the one that is there
    assert len(watched.requests(Kind.LIST)) == 1


def test_an_object_that_no_service_takes_is_refused_before_it_is_begun(watched: WatchedGcs) -> None:
    """Not after 5 TiB."""
    store = watched.open()
    meta = replace(watched.artifacts.of(b"").meta, size=(5 << 40) + 1)
    before = len(watched.proxy.requests)
    with pytest.raises(PermanentError, match=r"an object has at most 5497558138880"):
        store.begin(NAME, CREATE, meta)
    assert len(watched.proxy.requests) == before


@pytest.mark.parametrize("mode", PutMode)
def test_what_may_not_be_looked_at_is_not_taken_for_missing(
    watched: WatchedGcs, mode: PutMode
) -> None:
    """Or an object would be overwritten that must not be; the permission is named."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    artifact.put(store, NAME)
    watched.proxy.decide = lambda one: (
        Answer(403, "forbidden") if one.kind in (Kind.HEAD, Kind.READ) else None
    )
    with pytest.raises(
        PermanentError, match=r"allow storage.objects.get, and storage.objects.list"
    ):
        store.head(NAME)
    with pytest.raises(PermanentError, match="forbidden"):
        artifact.put(store, NAME, OVERWRITE) if mode is OVERWRITE else artifact.begin(store, NAME)


@pytest.mark.parametrize("offset", [0, 1, 3 << 20, (3 << 20) + 6, (3 << 20) + 7])
def test_a_read_goes_on_at_any_byte(watched: WatchedGcs, offset: int) -> None:
    """The service is asked for the rest alone; from the end there is just nothing left."""
    store = watched.open()
    content = bytes(range(256)) * ((3 << 20) // 256) + b"the end"
    watched.artifacts.of(content).put(store, NAME)
    assert content_of(store, NAME)[offset:] == b"".join(store.read(NAME, offset))
    asked = watched.requests(Kind.READ)[-1].headers.get("range")
    assert asked == (f"bytes={offset}-" if offset else None)
