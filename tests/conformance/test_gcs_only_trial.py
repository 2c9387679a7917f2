"""Hold GCS's trial (`uploader check`) to its word: what is refused, ignored, left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.watched_gcs import WatchedGcs, watching_gcs
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
from tests.servers.strict_gcs.running import StrictGcs
from uploader import clock
from uploader.errors import AuthError, PermanentError, TransientError
from uploader.model import PutMode
from uploader.place import Capabilities
from uploader.store.gcs import bucket, resources
from uploader.store.gcs.resources import Arguments
from uploader.store.probe import Finding, Probed, Verdict
from uploader.store.testing.given import names_in
from uploader.store.trial import PROBE

NAME = "a/name"
OK, WARNING, REFUSED = Verdict.OK, Verdict.WARNING, Verdict.REFUSED

SHARE = 0.3  #: of the requests that fail; a trial makes some fifty
SEED = 3

#: What is tried, in this order.
TRIED = [
    "bucket and credentials", "put", "CRC32C", "create-only put", "guarded overwrite",
    "guarded delete", "resumable session", "create-only object by session", "parts at once",
    "create-only copy", "get", "list", "delete",
]  # fmt: skip


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


def found(probed: Probed, verdict: Verdict) -> dict[str, Finding]:
    """Return what was found with a verdict."""
    return {one.what: one for one in probed.findings if one.verdict is verdict}


def what_it_can(probed: Probed) -> Capabilities:
    """Return what was found to be honoured."""
    assert probed.capabilities
    return probed.capabilities


# -- as it should be ----------------------------------------------------------------------------


def test_all_is_tried_and_nothing_stays(watched: WatchedGcs) -> None:
    """At a service that does everything as GCS does."""
    probed = watched.open(tried=False).probe()
    assert [one.what for one in probed.findings if one.what != "clock"] == TRIED
    assert {one.verdict for one in probed.findings} == {OK}
    everything = Capabilities(watched.proxy.endpoint, compose=True)
    assert probed.capabilities == everything
    assert watched.all_names() == set()


def test_a_trial_comes_to_the_same_end_though_every_third_request_fails(
    watched: WatchedGcs,
) -> None:
    """At no service would all of its requests go well in a row; nothing is left of it."""
    faults = (
        Answer(500, "backendError"),
        Answer(429, "rateLimitExceeded"),
        ResetBeforeBody(),
        ResetAfterBody(),
        TruncateAnswer(),
        DropAnswer(),
    )
    store = watched.open(tried=False)
    lottery = share(SHARE, faults, SEED)
    watched.proxy.decide = lambda one: (
        lottery(one) if len(watched.requests(Kind.HEAD)) > 1 else None  # patience begins with that
    )
    probed = store.probe()
    watched.proxy.decide = lambda _: None
    assert probed.capabilities == watched.capabilities
    assert watched.all_names() == set()


def test_a_trial_of_a_service_that_does_not_answer_ends_at_once(watched: WatchedGcs) -> None:
    """Patience begins when it has answered: who tries an address wants to know."""
    watched.proxy.decide = lambda _: Answer(500, "backendError")
    with pytest.raises(TransientError):
        watched.open(tried=False).probe()
    assert len(watched.requests(Kind.HEAD)) == 1
    assert watched.requests(Kind.PUT) == []


def test_a_later_drain_only_asks_whether_it_may_still_write(watched: WatchedGcs) -> None:
    """What the service honours is known; no object is made for it, and no session stays open."""
    store = watched.open()
    assert store.prepare(first=False) is None
    assert watched.requests(Kind.PUT) == []
    assert PROBE in watched.only(Kind.BEGIN).key
    assert watched.only(Kind.ABORT).status == 499
    assert watched.all_names() == set()


def test_a_later_drain_that_may_not_write_any_more_says_so(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """Before any upload is tried, and dead."""
    store = watched.open()
    with (
        strict_gcs.behaving(deny=["storage.objects.create"]),
        pytest.raises(PermanentError, match=r"; allow storage\.objects\.create"),
    ):
        store.prepare(first=False)


def test_another_endpoint_is_tried_anew(watched: WatchedGcs) -> None:
    """What one service honours says nothing about another."""
    store = watched.open(can={"endpoint": "http://127.0.0.1:9", "conditional_put": False})
    assert store.prepare(first=False) == watched.capabilities


@pytest.mark.parametrize(("ahead", "verdict"), [(0.0, OK), (3600.0, WARNING), (-3600.0, WARNING)])
def test_a_clock_that_is_wrong_is_found_out(
    watched: WatchedGcs, monkeypatch: pytest.MonkeyPatch, ahead: float, verdict: Verdict
) -> None:
    """By the service's own, as its answers tell it: logins are refused otherwise."""
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + ahead)
    watched.proxy.decide = first(Kind.PUT, Answer(503, "backendError"))  # has the time
    probed = watched.open(tried=False).probe()
    found_out = next(one for one in probed.findings if one.what == "clock")
    assert found_out.verdict is verdict
    told = re.search(r"(\d+) s (ahead of|behind) the service", found_out.detail)
    off = int(told[1]) if told and told[2] == "behind" else -int(told[1]) if told else 0
    assert abs(ahead + off) < 10, "the answer took a while, and a date is of whole seconds"
    assert ("tokens that it asks for" in found_out.advice) is (ahead != 0)


def test_what_a_trial_left_behind_is_in_no_list(watched: WatchedGcs) -> None:
    """A killed one may leave an object; it is nobody's artifact."""
    store = watched.open()
    watched.artifacts.of(b"content").put(store, NAME)
    for name in (f"{PROBE}0123", f"a/{PROBE}4567-copy"):
        watched.put_by_another(name, b"trial")
    assert names_in(store) == [NAME]


# -- what is not allowed ------------------------------------------------------------------------


def test_who_may_not_create_is_refused(watched: WatchedGcs, strict_gcs: StrictGcs) -> None:
    """No upload would work."""
    with strict_gcs.behaving(deny=["storage.objects.create"]):
        probed = watched.open(tried=False).probe()
    refused = found(probed, REFUSED)
    assert list(refused) == ["put"]
    assert refused["put"].advice.startswith("allow storage.objects.create")
    with pytest.raises(PermanentError, match=r"does not have storage.objects.create"):
        probed.require()


def test_who_may_not_look_is_refused(watched: WatchedGcs, strict_gcs: StrictGcs) -> None:
    """A retry could not tell its own object from another's."""
    with strict_gcs.behaving(deny=["storage.objects.get"]):
        probed = watched.open(tried=False).probe()
    (refused,) = found(probed, REFUSED).values()
    assert (
        refused.advice
        == "allow storage.objects.get, and storage.objects.list to tell what is missing"
    )


def test_who_is_not_told_what_is_missing_is_refused(watched: WatchedGcs) -> None:
    """Without the permission to list, the real service says 403 of what is not there."""
    watched.proxy.decide = first(Kind.HEAD, Answer(403, "forbidden"))
    (refused,) = found(watched.open(tried=False).probe(), REFUSED).values()
    assert "storage.objects.list to tell what is missing" in refused.advice


def test_who_may_not_delete_is_warned_and_overwrites_stay_guarded(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """What could not be tried is not held to be ignored: the permission may come later."""
    with strict_gcs.behaving(deny=["storage.objects.delete"]):
        probed = watched.open(tried=False).probe()
    warned = found(probed, WARNING)
    assert list(warned) == ["guarded overwrite", "guarded delete", "delete"]
    for what in ("guarded overwrite", "guarded delete"):
        assert "does not have storage.objects.delete" in warned[what].detail
        assert "storage.objects.delete" in warned[what].advice
    assert "nothing can be overwritten" in warned["delete"].advice
    assert found(probed, REFUSED) == {}
    can = what_it_can(probed)
    assert (can.conditional_replace, can.conditional_delete) == (True, True)
    assert not can.compose  # its parts would stay


def test_who_may_not_list_is_warned_and_composes_nothing(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """Parts are found by listing, at a resume and at the end."""
    with strict_gcs.behaving(deny=["storage.objects.list"]):
        probed = watched.open(tried=False).probe()
    warned = found(probed, WARNING)
    assert list(warned) == ["list"]
    assert "storage.objects.list" in warned["list"].detail
    assert "one session" in warned["list"].advice
    assert not what_it_can(probed).compose
    assert what_it_can(probed).sessions


def test_a_bucket_that_is_not_there_is_named(watched: WatchedGcs) -> None:
    """With what to do."""
    there, watched.bucket = watched.bucket, "no-such-bucket"
    try:
        probed = watched.open(tried=False).probe()
    finally:
        watched.bucket = there
    (refused,) = found(probed, REFUSED).values()
    assert refused.detail.startswith("get of gs://no-such-bucket/")
    assert refused.advice == "make the bucket, or correct the destination"


def test_credentials_that_are_refused_are_a_finding(watched: WatchedGcs) -> None:
    """To be renewed by a person."""
    watched.proxy.decide = lambda _: Answer(401, "authError")
    probed = watched.open(tried=False).probe()
    (refused,) = found(probed, REFUSED).values()
    assert refused.what == "bucket and credentials"
    assert refused.advice.startswith("renew the credentials")
    with pytest.raises(AuthError):
        probed.require()


# -- services that are not GCS ------------------------------------------------------------------


def test_a_service_that_ignores_preconditions_is_found_out(
    watched: WatchedGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had never heard of them: creates are refused unless the risk is accepted."""
    monkeypatch.setattr(bucket, "matching", lambda _: {})
    monkeypatch.setattr(bucket.Bucket, "delete", _delete_whatever_is_there(bucket.Bucket))
    probed = watched.open(tried=False).probe()
    warned = found(probed, WARNING)
    assert list(warned) == [
        "create-only put", "guarded overwrite", "guarded delete", "create-only object by session",
        "parts at once", "create-only copy",
    ]  # fmt: skip
    assert "--allow-unsafe-create" in warned["create-only put"].advice
    can = what_it_can(probed)
    assert not any((can.conditional_put, can.conditional_replace, can.conditional_delete))
    assert not any((can.conditional_complete, can.conditional_copy, can.compose))
    assert (can.sessions, can.crc32c, can.whole_crc32c) == (True, True, True)
    assert watched.all_names() == set()


def _delete_whatever_is_there(of: Any) -> Any:
    real = of.delete
    return lambda self, key, _condition=None: real(self, key)


def test_a_service_that_ignores_checksums_is_found_out(
    watched: WatchedGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if none had been told to it."""
    real = Arguments.resource

    def without(self: Arguments, *given: Any) -> dict[str, Any]:
        return {key: value for key, value in real(self, *given).items() if key != "crc32c"}

    monkeypatch.setattr(resources.Arguments, "resource", without)
    probed = watched.open(tried=False).probe()
    assert list(found(probed, WARNING)) == ["CRC32C"]
    assert "uploader verify --deep" in found(probed, WARNING)["CRC32C"].advice
    can = what_it_can(probed)
    assert (can.crc32c, can.whole_crc32c) == (False, False)
    session = next(one for one in probed.findings if one.what == "resumable session")
    assert "not checked before it is visible" in session.detail


@pytest.mark.parametrize(
    ("kind", "fault", "missing"),
    [
        (Kind.BEGIN, Answer(501, "notImplemented"), "sessions"),
        (Kind.PART, Answer(400, "invalid"), "sessions"),
        (Kind.COMPOSE, Answer(501, "notImplemented"), "compose"),
        (Kind.COPY, Answer(501, "notImplemented"), "copy"),
    ],
)
def test_what_a_service_does_not_have_is_done_without(
    watched: WatchedGcs, kind: Kind, fault: Answer, missing: str
) -> None:
    """Said with what follows from it; all else goes on."""
    watched.proxy.decide = lambda one: fault if one.kind == kind else None
    probed = watched.open(tried=False).probe()
    (warned,) = found(probed, WARNING).values()
    assert warned.advice
    can = what_it_can(probed)
    assert getattr(can, missing) is False
    assert can.conditional_put
    assert watched.all_names() == set()


def test_a_large_file_goes_whole_where_there_are_no_sessions(watched: WatchedGcs) -> None:
    """From its start again after a kill, rather than not at all."""
    large = 6 << 30
    assert watched.open().limits.whole_max < large
    assert watched.open(can={"sessions": False}).limits.whole_max > large
    meta = watched.artifacts.of(b"").meta
    with_parts = watched.open().begin(NAME, PutMode.CREATE, meta)
    assert with_parts.startswith("in-order:")
