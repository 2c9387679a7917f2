"""Hold S3 to what only S3 has, in copying, reading and tidying; and its trial to its word."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conformance.watched import PART, Watched, watching
from tests.servers.faults import (
    Answer,
    DropAnswer,
    ResetAfterBody,
    ResetBeforeBody,
    TruncateAnswer,
    first,
    share,
)
from tests.servers.requests import Kind
from tests.servers.s3_server import S3Server
from uploader.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import PutMode
from uploader.store.s3 import copying
from uploader.store.testing.given import Artifact, content_of, is_there, names_in
from uploader.store.trial import PROBE

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
COPY = "a/copy"

SHARE = 0.3  #: of the requests that fail; a trial makes some thirty
SEED = 3


@pytest.fixture(scope="module")
def seaweed_watched(
    seaweed: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """SeaweedFS, watched."""
    with watching(seaweed, tmp_path_factory.mktemp("spools")) as watched:
        yield watched


@pytest.fixture
def watched(seaweed_watched: Watched) -> Watched:
    """SeaweedFS with nothing that another test left."""
    seaweed_watched.begin_test()
    return seaweed_watched


@pytest.fixture
def mini(ministack: S3Server, tmp_path: Path) -> Iterator[Watched]:
    """MiniStack, watched."""
    with watching(ministack, tmp_path) as watched:
        yield watched


def link_to(target: Artifact) -> Artifact:
    """Return another upload with the same bytes, as a copy is."""
    return Artifact(target.blob, target.content)


# -- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", PutMode)
def test_a_large_object_is_copied_in_parts(
    watched: Watched, mode: PutMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte once, in any number of requests; the CRC32C of the whole is the same."""
    monkeypatch.setattr(copying, "WHOLE_MAX", PART)
    monkeypatch.setattr(copying, "PART", PART)
    store = watched.open()
    target, _ = watched.put_parts(store, NAME)
    link = link_to(target)
    receipt = store.copy(NAME, COPY, mode, link.meta)
    ranges = {one.headers["x-amz-copy-source-range"] for one in watched.requests(Kind.PART_COPY)}
    assert ranges == {
        f"bytes=0-{PART - 1}",
        f"bytes={PART}-{2 * PART - 1}",
        f"bytes={2 * PART}-{len(target.content) - 1}",
    }
    assert content_of(store, COPY) == target.content
    info = store.head(COPY)
    assert (info.upload_id, info.crc32c) == (link.upload_id, target.meta.crc32c)
    assert (receipt.etag, receipt.size) == (info.etag, len(target.content))
    assert store.sweep(set(), 0) == []


def test_the_parts_of_a_copy_cover_the_largest_object() -> None:
    """5 TiB in at most 10,000 parts of at most 5 GiB, without a gap."""
    size = 5 << 40
    cuts = copying._cuts_of(size)
    assert len(cuts) <= 10_000
    assert [number for number, _, _ in cuts] == list(range(1, len(cuts) + 1))
    assert cuts[0][1] == 0
    assert cuts[-1][2] == size - 1
    assert all(one[2] + 1 == after[1] for one, after in pairwise(cuts))
    assert max(last - begin for _, begin, last in cuts) < 5 << 30


def test_a_copy_that_fails_in_the_middle_leaves_no_parts(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins anew next time, and knows nothing of those."""
    monkeypatch.setattr(copying, "WHOLE_MAX", PART)
    monkeypatch.setattr(copying, "PART", PART)
    store = watched.open()
    target, _ = watched.put_parts(store, NAME)
    watched.proxy.decide = first(Kind.PART_COPY, Answer(500, "InternalError"))
    with pytest.raises(TransientError):
        store.copy(NAME, COPY, CREATE, link_to(target).meta)
    assert not is_there(store, COPY)
    assert store.sweep(set(), 0) == []


def test_a_copy_has_its_own_tags_not_those_of_its_target(watched: Watched) -> None:
    """As every object that this destination makes."""
    target = watched.artifacts.of(b"content")
    target.put(watched.open(tags="of=target"), NAME)
    watched.open(tags="of=copy").copy(NAME, COPY, CREATE, link_to(target).meta)
    answer = watched.client.get_object_tagging(Bucket=watched.bucket, Key=watched.key(COPY))
    assert [(tag["Key"], tag["Value"]) for tag in answer["TagSet"]] == [("of", "copy")]


def test_a_copy_creates_only_also_where_a_copy_has_no_conditions(mini: Watched) -> None:
    """MiniStack ignores them on a copy, and honours them on a completion: so it goes in parts."""
    assert not mini.capabilities.conditional_copy
    assert mini.capabilities.conditional_complete
    store = mini.open()
    target = mini.artifacts.of(b"content")
    target.put(store, NAME)
    mini.just_before(Kind.COMPLETE, COPY, b"another's")
    with pytest.raises(ConflictError):
        store.copy(NAME, COPY, CREATE, link_to(target).meta)
    assert content_of(store, COPY) == b"another's"
    assert mini.requests(Kind.COPY) == []
    link = link_to(target)
    store.copy(NAME, "another/copy", CREATE, link.meta)
    assert content_of(store, "another/copy") == target.content
    assert store.head("another/copy").upload_id == link.upload_id
    assert store.sweep(set(), 0) == []


@pytest.mark.parametrize("mode", PutMode)
def test_a_target_that_is_replaced_meanwhile_is_not_copied_by_halves(
    watched: Watched, mode: PutMode
) -> None:
    """The copy is of what was looked at, or it is made again of what is there now."""
    store = watched.open()
    target = watched.artifacts.of(b"version 1")
    target.put(store, NAME)
    link = link_to(target)
    watched.just_before(Kind.COPY, NAME, b"version 2, another's")
    with pytest.raises(TransientError):
        store.copy(NAME, COPY, mode, link.meta)
    assert not is_there(store, COPY)
    store.copy(NAME, COPY, mode, link.meta)
    assert content_of(store, COPY) == b"version 2, another's"


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", PutMode)
def test_what_may_not_be_looked_at_is_not_taken_for_missing(
    watched: Watched, mode: PutMode
) -> None:
    """Or an object would be overwritten that must not be; the permission is named."""
    store = watched.open()
    artifact = watched.artifacts.of(b"content")
    artifact.put(store, NAME)
    watched.proxy.decide = lambda one: (
        Answer(403, "AccessDenied") if one.kind in (Kind.HEAD, Kind.READ) else None
    )
    with pytest.raises(PermanentError, match="allow s3:GetObject, and s3:ListBucket") as refused:
        store.head(NAME)
    assert not isinstance(refused.value, NotFoundError)
    if mode is CREATE:
        with pytest.raises(PermanentError, match="AccessDenied"):
            artifact.begin(store, NAME, mode)
    else:
        with pytest.raises(PermanentError, match="AccessDenied"):
            artifact.put(store, NAME, mode)


def test_a_refusal_without_words_is_looked_into(watched: Watched) -> None:
    """The answer to a HEAD has no body: expired credentials look like a missing permission."""
    store = watched.open()
    watched.artifacts.of(b"content").put(store, NAME)
    watched.proxy.decide = lambda _: Answer(400, "ExpiredToken")
    with pytest.raises(AuthError, match="renew the credentials"):
        store.head(NAME)
    watched.proxy.decide = first(Kind.HEAD, Answer(403, "AccessDenied"))
    with pytest.raises(TransientError):  # the GET of a byte is answered: it passed
        store.head(NAME)
    assert watched.requests(Kind.READ)[-1].headers["range"] == "bytes=0-0"
    assert store.head(NAME).size == len(b"content")


@pytest.mark.parametrize("offset", [0, 1, 3 << 20, (3 << 20) + 6])
def test_a_read_goes_on_at_any_byte(watched: Watched, offset: int) -> None:
    """The service is asked for the rest alone."""
    store = watched.open()
    content = os.urandom((3 << 20) + 7)
    watched.artifacts.of(content).put(store, NAME)
    portions = list(store.read(NAME, offset))
    assert b"".join(portions) == content[offset:]
    assert max(map(len, portions)) <= 4 << 20
    asked = watched.only(Kind.READ).headers.get("range")
    assert asked == (f"bytes={offset}-" if offset else None)


@pytest.mark.parametrize("size", [0, 7])
def test_a_read_from_the_end_is_empty(watched: Watched, size: int) -> None:
    """S3 refuses such a range; to the caller there is just nothing left."""
    store = watched.open()
    watched.artifacts.of(bytes(size)).put(store, NAME)
    assert b"".join(store.read(NAME, size)) == b""


def test_a_read_that_is_cut_off_is_a_fault_that_passes(watched: Watched) -> None:
    """And not the end of the object: who reads goes on from there."""
    store = watched.open()
    content = os.urandom(3 << 20)
    watched.artifacts.of(content).put(store, NAME)
    watched.proxy.decide = first(Kind.READ, TruncateAnswer())
    got = bytearray()
    with pytest.raises(TransientError):
        got.extend(byte for portion in store.read(NAME) for byte in portion)
    assert b"".join(store.read(NAME, len(got))) == content[len(got) :]


# -- what is unfinished -------------------------------------------------------------------------


def test_a_sweep_keeps_what_is_kept_what_is_young_and_what_is_elsewhere(watched: Watched) -> None:
    """The rest is aborted, and said."""
    store = watched.open()
    elsewhere, here = watched.prefix, f"{watched.prefix}-too"
    another = watched.artifacts.of(b"content").begin(store, "not/ours")
    watched.prefix = here
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    kept, lost = artifact.begin(store, "kept"), artifact.begin(store, "lost")
    artifact.send(store, "lost", lost, parts[2])
    assert store.sweep({kept}, older_than=3600) == []
    (swept,) = store.sweep({kept}, older_than=-3600)
    assert swept.startswith(f"s3://{watched.bucket}/{here}/lost (parts of an upload that began")
    with pytest.raises(SessionLostError):
        store.sent_parts("lost", lost, [])
    assert store.sent_parts("kept", kept, []) == []
    watched.prefix = elsewhere
    assert watched.open().sent_parts("not/ours", another, []) == []


# -- the trial ----------------------------------------------------------------------------------


def test_what_a_trial_left_behind_is_in_no_list(watched: Watched) -> None:
    """A killed one may leave an object; it is nobody's artifact."""
    store = watched.open()
    watched.artifacts.of(b"content").put(store, NAME)
    for name in (f"{PROBE}0123", f"a/{PROBE}4567-copy"):
        watched.put_by_another(name, b"trial")
    assert names_in(store) == [NAME]


def test_a_trial_comes_to_the_same_end_though_every_third_request_fails(watched: Watched) -> None:
    """At no service would all of its requests go well in a row; nothing is left of it."""
    faults = (
        Answer(500, "InternalError"),
        Answer(503, "SlowDown"),
        ResetBeforeBody(),
        ResetAfterBody(),
        TruncateAnswer(),
        DropAnswer(),
    )
    spared = (Kind.HEAD_BUCKET,)  # until it has answered at all there is no patience
    watched.proxy.decide = share(SHARE, faults, SEED, set(Kind) - set(spared))
    probed = watched.open(tried=False).probe()
    watched.proxy.decide = lambda _: None
    assert probed.capabilities == watched.capabilities
    client, place = watched.client, {"Bucket": watched.bucket, "Prefix": f"{watched.prefix}/"}
    assert client.list_objects_v2(**place)["KeyCount"] == 0
    assert "Uploads" not in client.list_multipart_uploads(**place)


def test_a_trial_of_a_service_that_does_not_answer_ends_at_once(watched: Watched) -> None:
    """Patience begins when it has answered: who tries an address wants to know."""
    watched.proxy.decide = lambda _: Answer(500, "InternalError")
    with pytest.raises(TransientError):
        watched.open(tried=False).probe()
    assert len(watched.requests(Kind.HEAD_BUCKET)) == 1


def test_a_later_drain_only_asks_whether_it_may_still_write(watched: Watched) -> None:
    """What the service honours is known; no object is made for it."""
    store = watched.open()
    assert store.prepare(first=False) is None
    assert watched.requests(Kind.PUT) == []
    begun = watched.only(Kind.BEGIN)
    assert PROBE in begun.key
    assert store.sweep(set(), -3600) == []


def test_another_endpoint_is_tried_anew(watched: Watched) -> None:
    """What one service honours says nothing about another."""
    store = watched.open(can={"endpoint": "http://127.0.0.1:9", "conditional_put": False})
    assert store.prepare(first=False) == watched.capabilities
