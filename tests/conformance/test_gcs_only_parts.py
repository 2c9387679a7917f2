"""Hold GCS to what only its composed objects have: parts that are objects, stages, leftovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.watched_gcs import WatchedGcs, parts_at_once, watching_gcs
from tests.servers.faults import Answer, DropAnswer, first
from tests.servers.requests import Kind
from tests.servers.strict_gcs.running import StrictGcs
from uploader.errors import SessionLostError, TransientError
from uploader.model import ID_LENGTH, Part, PutMode, SentPart
from uploader.store.base import ObjectStore
from uploader.store.gcs import composing
from uploader.store.gcs.composing import FOLDER
from uploader.store.testing.given import Artifact, content_of, is_there, names_in

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
FOREVER = 3600.0  #: seconds; no part of a test is as old


@pytest.fixture(scope="module")
def everything(
    strict_gcs: StrictGcs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedGcs]:
    """The strict server, watched; nothing is too small to go in parts at once."""
    with watching_gcs(strict_gcs, tmp_path_factory.mktemp("spools")) as watched, parts_at_once():
        yield watched


@pytest.fixture
def watched(everything: WatchedGcs) -> WatchedGcs:
    """The strict server with nothing that another test left."""
    everything.begin_test()
    return everything


def cut(watched: WatchedGcs, count: int) -> tuple[Artifact, list[Part]]:
    """Spool an artifact of so many small parts, the last one shorter."""
    size = 10
    artifact = watched.artifacts.of(b"".join(b"part %5d" % one for one in range(count))[:-3])
    parts = [
        Part(number + 1, number * size, min(size, len(artifact.content) - number * size))
        for number in range(count)
    ]
    return artifact, parts


def sent_all(
    artifact: Artifact, store: ObjectStore, session: str, parts: list[Part]
) -> list[SentPart]:
    """Send all parts."""
    return [artifact.send(store, NAME, session, part) for part in parts]


def folder_of(session: str) -> str:
    """Return the folder of a session's parts, below the prefix."""
    return f"{FOLDER}{session.partition(':')[2]}/"


# -- stages -------------------------------------------------------------------------------------


def test_more_parts_than_one_request_takes_are_put_together_in_stages(watched: WatchedGcs) -> None:
    """The service takes 32; what is between is created only, the last one has the condition."""
    store = watched.open()
    watched.put_by_another(NAME, b"old")
    known = watched.generation(NAME)
    artifact, parts = cut(watched, 40)
    session = artifact.begin(store, NAME, OVERWRITE)
    sent = sent_all(artifact, store, session, parts)
    receipt = artifact.complete(store, NAME, session, sent, OVERWRITE)
    asked = watched.requests(Kind.COMPOSE)
    stage = f"{watched.key(folder_of(session))}stage-1-"
    assert [one.key for one in asked] == [f"{stage}00000", f"{stage}00001", watched.key(NAME)]
    assert watched.conditions(Kind.COMPOSE) == ["0", "0", known]
    assert content_of(store, NAME) == artifact.content
    assert store.head(NAME).crc32c == artifact.meta.crc32c
    assert receipt.etag == watched.generation(NAME)
    assert watched.described(NAME)["componentCount"] == 40
    assert watched.all_names() == {NAME}


def test_there_are_as_many_stages_as_it_takes(
    watched: WatchedGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of 10,000 parts: each in its place, and none left over."""
    monkeypatch.setattr(composing, "SOURCES_MAX", 3)
    store = watched.open()
    artifact, parts = cut(watched, 10)
    session = artifact.begin(store, NAME)
    artifact.complete(store, NAME, session, sent_all(artifact, store, session, parts))
    names = [one.key.rpartition("/")[2] for one in watched.requests(Kind.COMPOSE)]
    first_stage = [f"stage-1-0000{number}" for number in range(4)]
    assert names == [*first_stage, "stage-2-00000", "stage-2-00001", "name"]
    assert content_of(store, NAME) == artifact.content
    assert watched.all_names() == {NAME}


def test_ten_thousand_parts_take_three_stages() -> None:
    """The most that an upload has: no object is made of more than 32."""
    count, stages = 10_000, 0
    while count > 1:
        count, stages = -(-count // composing.SOURCES_MAX), stages + 1
    assert (composing.SOURCES_MAX, stages) == (32, 3)


@pytest.mark.parametrize("at", range(3))
def test_a_completion_that_was_cut_off_in_any_stage_goes_on(watched: WatchedGcs, at: int) -> None:
    """What it had made is known by its name, and used; what it left is removed at the end."""
    store = watched.open()
    artifact, parts = cut(watched, 40)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    numbers = iter(range(3))
    watched.proxy.decide = lambda one: (
        DropAnswer() if one.kind == Kind.COMPOSE and next(numbers, None) == at else None
    )
    with pytest.raises(TransientError):
        artifact.complete(store, NAME, session, sent)
    receipt = artifact.complete(watched.open(), NAME, session, sent)
    assert [one.upstream_status for one in watched.requests(Kind.COMPOSE)] == [
        *([200] * (at + 1)),  # the last of them unheard
        *([412] * (at + 1)),
        *([200] * (2 - at)),
    ]
    assert receipt.etag == watched.generation(NAME)
    assert content_of(store, NAME) == artifact.content
    assert watched.all_names() == {NAME}


# -- parts --------------------------------------------------------------------------------------


def test_a_part_that_is_sent_again_stays_the_same_version(watched: WatchedGcs) -> None:
    """A late request of a killed worker changes nothing of what will be put together."""
    store = watched.open()
    artifact, (one, *_) = cut(watched, 3)
    session = artifact.begin(store, NAME)
    marks = {artifact.send(store, NAME, session, one).mark for _ in range(2)}
    assert marks == {watched.generation(f"{folder_of(session)}00001")}
    assert [one.status for one in watched.requests(Kind.PUT)] == [200, 412]


def test_a_part_that_another_replaced_is_not_what_was_sent(watched: WatchedGcs) -> None:
    """Neither at a resume nor at the completion: only the version that arrived is used."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    watched.put_by_another(f"{folder_of(session)}00002", b"part    1?"[:10])
    assert store.sent_parts(NAME, session, sent) == [sent[0], sent[2]]
    with pytest.raises(SessionLostError, match=r"parts of a/name are gone: .*00002"):
        artifact.complete(store, NAME, session, sent)
    assert not is_there(store, NAME)


def test_a_part_that_is_gone_is_sent_again(watched: WatchedGcs) -> None:
    """As when a bucket's lifecycle rule took it while a node was down."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    watched.remove_by_another(f"{folder_of(session)}00001")
    assert store.sent_parts(NAME, session, sent) == sent[1:]
    sent[0] = artifact.send(store, NAME, session, parts[0])
    artifact.complete(store, NAME, session, sent)
    assert content_of(store, NAME) == artifact.content


def test_parts_tell_whose_they_are(watched: WatchedGcs) -> None:
    """By the upload's id, in their name and in their metadata."""
    store = watched.open()
    artifact, (one, *_) = cut(watched, 2)
    session = artifact.begin(store, NAME)
    artifact.send(store, NAME, session, one)
    (part,) = watched.all_names()
    assert part.startswith(f"{FOLDER}{artifact.upload_id}-")
    assert len(artifact.upload_id) == ID_LENGTH
    assert watched.described(part)["metadata"]["uploader-id"] == artifact.upload_id


def test_parts_are_in_no_listing_of_ours(watched: WatchedGcs) -> None:
    """While they wait, they are nobody's artifacts."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    sent_all(artifact, store, artifact.begin(store, NAME), parts)
    watched.artifacts.of(b"content").put(store, "other")
    assert names_in(store) == ["other"]
    assert len(watched.all_names()) == 4


def test_no_two_sessions_share_parts(watched: WatchedGcs) -> None:
    """Another begin may cut the file otherwise."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    one, two = (artifact.begin(store, NAME) for _ in range(2))
    sent_all(artifact, store, one, parts)
    assert store.sent_parts(NAME, two, [SentPart(1, 10, "1")]) == []
    whole = Part(1, 0, len(artifact.content))
    artifact.complete(store, NAME, two, [artifact.send(store, NAME, two, whole)])
    assert content_of(store, NAME) == artifact.content
    artifact.abort(store, NAME, None)
    assert watched.all_names() == {NAME}


# -- what is left -------------------------------------------------------------------------------


def test_an_object_counts_though_its_parts_could_not_be_removed(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """The permission was taken away meanwhile: it is there, and the rest is for a sweep."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    with strict_gcs.behaving(deny=["storage.objects.delete"]):
        receipt = artifact.complete(store, NAME, session, sent)
    assert receipt.etag == watched.generation(NAME)
    assert len(watched.all_names()) == 4
    assert len(store.sweep(set(), -FOREVER)) == 1
    assert watched.all_names() == {NAME}


def test_a_completion_that_could_not_tidy_up_is_made_again(watched: WatchedGcs) -> None:
    """The object is there: the second time only the rest is removed."""
    store = watched.open()
    artifact, parts = cut(watched, 3)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    watched.proxy.decide = first(Kind.DELETE, Answer(503, "backendError"))
    with pytest.raises(TransientError):
        artifact.complete(store, NAME, session, sent)
    receipt = artifact.complete(store, NAME, session, sent)
    assert receipt.etag == watched.generation(NAME)
    assert watched.all_names() == {NAME}


def test_what_is_removed_is_the_version_that_was_listed(watched: WatchedGcs) -> None:
    """Under its generation, as every other delete."""
    store = watched.open()
    artifact, parts = cut(watched, 2)
    session = artifact.begin(store, NAME)
    sent = sent_all(artifact, store, session, parts)
    artifact.abort(store, NAME, session)
    assert sorted(map(str, watched.conditions(Kind.DELETE))) == sorted(one.mark for one in sent)


def test_a_sweep_takes_what_a_lost_machine_left_and_nothing_else(watched: WatchedGcs) -> None:
    """Not what a spool still knows, not what is young, not what is below another prefix."""
    watched.prefix = f"{watched.prefix}-too"
    elsewhere, parts = cut(watched, 2)
    not_ours = watched.open()
    left = elsewhere.begin(not_ours, NAME)
    sent_all(elsewhere, not_ours, left, parts)
    watched.prefix = watched.prefix.removesuffix("-too")
    store = watched.open()
    watched.artifacts.of(b"object").put(store, "object")
    kept, lost = (cut(watched, 2)[0] for _ in range(2))
    to_keep, to_lose = kept.begin(store, NAME), lost.begin(store, NAME)
    sent = sent_all(kept, store, to_keep, parts)
    sent_all(lost, store, to_lose, parts)
    assert store.sweep(set(), FOREVER) == []
    (swept,) = store.sweep({to_keep}, -FOREVER)
    where = f"gs://{watched.bucket}/{watched.key(folder_of(to_lose))}"
    assert swept.startswith(f"{where} (2 parts of an upload, the last ")
    assert store.sent_parts(NAME, to_keep, sent) == sent
    assert watched.all_names() == {"object", *(f"{folder_of(to_keep)}0000{one}" for one in (1, 2))}
    assert len(not_ours.sweep(set(), -FOREVER)) == 1


def test_giving_up_takes_the_parts_of_that_upload_alone(watched: WatchedGcs) -> None:
    """Of all its sessions, also of those that were never recorded."""
    store = watched.open()
    ours, parts = cut(watched, 2)
    others, _ = cut(watched, 2)
    for artifact in (ours, ours, others):
        sent_all(artifact, store, artifact.begin(store, NAME), parts)
    ours.abort(store, NAME, None)
    left = watched.all_names()
    assert len(left) == 2
    assert all(one.startswith(f"{FOLDER}{others.upload_id}-") for one in left)
