"""Hold GCS to what only its resumable sessions have: chunks, offsets, their end, their secret."""

from __future__ import annotations

import logging
import os
import stat
import traceback
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.conformance.watched_gcs import MULTIPLE, WatchedGcs, secret_of, watching_gcs
from tests.servers.faults import Answer, DropAnswer, Fault, ResetAfterBody, TruncateAnswer
from tests.servers.plain import wait_until
from tests.servers.requests import Kind, Request
from tests.servers.strict_gcs.running import StrictGcs
from uploader.drain import steps
from uploader.errors import SessionLostError, StoreError, TransientError
from uploader.model import Part, PutMode, SentPart
from uploader.store.base import ObjectStore
from uploader.store.body import Body
from uploader.store.gcs.sessions import Session
from uploader.store.testing.given import Artifact, content_of, is_there

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE
NAME = "a/name"
MIB = 1 << 20

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


class Cut(Body):
    """A body of which some is sent, then the process ends."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the first half."""
        yield from islice(self.read(), self.size // MULTIPLE // 2)
        raise TransientError("the process was killed")


def kept_by(strict_gcs: StrictGcs, watched: WatchedGcs, name: str) -> list[int]:
    """Return how many bytes each open session for a name has, as the service knows."""
    wanted = (watched.bucket, watched.key(name))
    sessions = strict_gcs.control()["sessions"]
    return [one["persisted"] for one in sessions if (one["bucket"], one["name"]) == wanted]


def send_all(
    artifact: Artifact, store: ObjectStore, session: str, parts: list[Part]
) -> list[SentPart]:
    """Send all parts."""
    return [artifact.send(store, NAME, session, part) for part in parts]


# -- on the wire --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        (2 * MIB + 24, ["0-1048575", "1048576-2097151", "2097152-2097175"]),
        (2 * MIB, ["0-1048575", "1048576-1835007", "1835008-2097151"]),
        (MIB + 1, ["0-1048575", "1048576-1048576"]),
        (7, ["0-6"]),
    ],
)
def test_parts_are_multiples_of_256_kib_and_the_end_is_held_back(
    watched: WatchedGcs, size: int, sent: list[str]
) -> None:
    """The last byte makes the object: it is sent when it is to be completed, not before."""
    store = watched.open()
    artifact = watched.artifacts.of(os.urandom(size))
    parts = [
        Part(number, at, min(MIB, size - at)) for number, at in enumerate(range(0, size, MIB), 1)
    ]
    session = artifact.begin(store, NAME)
    done = send_all(artifact, store, session, parts)
    assert not is_there(store, NAME)
    assert watched.requests(Kind.COMPLETE) == []
    artifact.complete(store, NAME, session, done)
    assert watched.only(Kind.BEGIN).headers["x-upload-content-length"] == str(size)
    asked = [*watched.requests(Kind.PART), watched.only(Kind.COMPLETE)]
    ranges = [one.headers["content-range"] for one in asked]
    assert ranges == [f"bytes {one}/{size}" for one in sent]
    assert all(one.body_bytes % MULTIPLE == 0 for one in watched.requests(Kind.PART))
    assert sum(one.body_bytes for one in asked) == size
    assert content_of(store, NAME) == artifact.content


def test_the_committed_offset_is_asked_for_at_a_resume(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """Only what the service has counts, whatever was recorded; no byte is sent for it."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    (first, *_) = parts
    sent = [artifact.send(store, NAME, session, first), SentPart(2, parts[1].size, "sent")]
    assert watched.open().sent_parts(NAME, session, sent) == sent[:1]
    asked = watched.only(Kind.STATUS)
    assert asked.headers["content-range"] == f"bytes */{len(artifact.content)}"
    assert (asked.status, asked.body_bytes) == (308, 0)
    assert kept_by(strict_gcs, watched, NAME) == [MIB]


def test_a_part_that_was_cut_off_in_the_middle_is_gone_on_with(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """The service has kept a piece; to send the part again neither doubles it nor leaves a hole."""
    store = watched.open()
    artifact = watched.artifacts.of(os.urandom(4 * MIB + 9))
    one, two = Part(1, 0, 4 * MIB), Part(2, 4 * MIB, 9)
    session = artifact.begin(store, NAME)
    whole = artifact.part_body(one)
    with pytest.raises(TransientError, match="killed"):
        store.put_part(NAME, session, one, Cut(whole.path, whole.offset, whole.size, whole.crc32c))
    wait_until(lambda: kept_by(strict_gcs, watched, NAME) != [0])
    (kept,) = kept_by(strict_gcs, watched, NAME)
    assert 0 < kept < one.size
    another = watched.open()
    assert another.sent_parts(NAME, session, []) == []
    artifact.complete(another, NAME, session, send_all(artifact, another, session, [one, two]))
    assert content_of(store, NAME) == artifact.content


def test_a_part_that_the_service_has_lost_is_asked_about_before_more_is_sent(
    watched: WatchedGcs,
) -> None:
    """No hole is filled with what comes after it."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    with pytest.raises(StoreError):
        artifact.send(store, NAME, session, parts[1])
    assert store.sent_parts(NAME, session, [SentPart(1, parts[0].size, "sent")]) == []


# -- the end of a session -----------------------------------------------------------------------


def test_a_session_that_is_over_is_lost_whatever_is_asked_of_it(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """After a week (410): sending, asking and completing say so; another one is begun."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    sent = send_all(artifact, store, session, parts)
    strict_gcs.control(expire_sessions=True)
    with pytest.raises(SessionLostError):
        artifact.send(store, NAME, session, parts[0])
    with pytest.raises(SessionLostError):
        store.sent_parts(NAME, session, sent)
    with pytest.raises(SessionLostError):
        artifact.complete(store, NAME, session, sent)
    told = [one.status for kind in OF_A_SESSION for one in watched.requests(kind)]
    assert told.count(410) == 3
    artifact.abort(store, NAME, session)
    watched.put_parts(store, NAME)


def test_a_session_that_nobody_knows_is_lost_too(watched: WatchedGcs) -> None:
    """404, as of one that never was."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    real = artifact.begin(store, NAME)
    session = real.replace(secret_of(real), "nobody-knows-this-one")
    with pytest.raises(SessionLostError):
        artifact.send(store, NAME, session, parts[0])
    assert watched.requests(Kind.PART)[-1].status == 404
    artifact.abort(store, NAME, session)
    assert watched.only(Kind.ABORT).status == 404


def test_an_overwrite_by_a_session_is_begun_anew_when_another_came_first(
    watched: WatchedGcs,
) -> None:
    """Its condition was fixed at its beginning: no end of this session can be right any more."""
    store = watched.open()
    watched.put_by_another(NAME, b"old")
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME, OVERWRITE)
    sent = send_all(artifact, store, session, parts)
    watched.put_by_another(NAME, b"newer")
    with pytest.raises(SessionLostError, match="replaced by another; it is sent anew"):
        artifact.complete(store, NAME, session, sent, OVERWRITE)
    assert watched.only(Kind.COMPLETE).status == 412
    assert content_of(store, NAME) == b"newer"
    session = artifact.begin(store, NAME, OVERWRITE)
    sent = send_all(artifact, store, session, parts)
    artifact.complete(store, NAME, session, sent, OVERWRITE)
    assert content_of(store, NAME) == artifact.content


def test_two_sessions_of_one_upload_make_one_object(watched: WatchedGcs) -> None:
    """The first one's end came late, from a killed worker: what is refused (412) is our own."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    ends = []
    for session in [artifact.begin(store, NAME) for _ in range(2)]:
        sent = send_all(artifact, store, session, parts)
        ends.append(artifact.complete(store, NAME, session, sent))
    assert [one.status for one in watched.requests(Kind.COMPLETE)] == [200, 412]
    assert {one.etag for one in ends} == {watched.generation(NAME)}


def test_a_session_that_is_given_up_is_cancelled(
    watched: WatchedGcs, strict_gcs: StrictGcs
) -> None:
    """499 is success, and so is one that is gone, or has come to its end meanwhile."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    artifact.send(store, NAME, session, parts[0])
    for _ in range(2):
        artifact.abort(store, NAME, session)
    assert [one.status for one in watched.requests(Kind.ABORT)] == [499, 410]
    assert kept_by(strict_gcs, watched, NAME) == []
    session = artifact.begin(store, NAME)
    artifact.complete(store, NAME, session, send_all(artifact, store, session, parts))
    artifact.abort(store, NAME, session)
    assert content_of(store, NAME) == artifact.content


# -- its URI is a secret ------------------------------------------------------------------------

FAULTS = (
    Answer(400, "invalid"),
    Answer(401, "authError"),
    Answer(403, "forbidden"),
    Answer(404, "notFound"),
    Answer(410, "gone"),
    Answer(412, "conditionNotMet"),
    Answer(500, "backendError"),
    ResetAfterBody(),
    DropAnswer(),
    TruncateAnswer(),
)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_error_tells_the_uri_of_a_session(
    watched: WatchedGcs, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has it may write to it: it is in no message, no traceback and no line of a log."""
    caplog.set_level(logging.DEBUG)
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    session = artifact.begin(store, NAME)
    sent = send_all(artifact, store, session, parts)
    watched.proxy.decide = lambda one: fault if one.kind in OF_A_SESSION else None
    said = []
    for ask in (
        lambda: artifact.send(store, NAME, session, parts[0]),
        lambda: store.sent_parts(NAME, session, sent),
        lambda: artifact.complete(store, NAME, session, sent),
        lambda: artifact.abort(store, NAME, session),
    ):
        try:
            ask()
        except StoreError as error:
            said += [str(error), repr(error), *traceback.format_exception(error)]
    assert said
    assert secret_of(session) not in "".join([*said, caplog.text])


def test_no_error_tells_the_uri_where_nobody_listens(watched: WatchedGcs) -> None:
    """As a connection that is refused does, which names what it was for."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    real = Session.of(artifact.begin(store, NAME))
    gone = str(replace(real, uri=real.uri.replace(watched.proxy.endpoint, "http://127.0.0.1:9")))
    with pytest.raises(TransientError, match="cannot connect") as failed:
        artifact.send(store, NAME, gone, parts[0])
    assert secret_of(gone) not in "".join(traceback.format_exception(failed.value))


def test_no_step_and_no_answer_shows_the_uri(watched: WatchedGcs) -> None:
    """They are what a log of processes would have."""
    store = watched.open()
    artifact, parts = watched.artifacts.for_parts(store)
    begun = steps.Begin(NAME, CREATE, artifact.meta).perform(store)
    secret = secret_of(begun)
    shown = [
        steps.Reconcile(NAME, begun, []),
        steps.PutPart(NAME, begun, parts[0], artifact.part_body(parts[0])),
        steps.Complete(NAME, begun, [], CREATE, artifact.meta, artifact.body),
        steps.Tidy(NAME, begun, artifact.upload_id),
        steps.Answer(begun),
        Session.of(begun),
    ]
    assert all(secret not in repr(one) for one in shown)
    assert secret in str(Session.of(begun))


def ended(watched: WatchedGcs) -> int:
    """Return how often a session for `NAME` was to be ended."""
    return sum(one.key == watched.key(NAME) for one in watched.requests(Kind.COMPLETE))


def test_nothing_that_a_person_is_shown_has_the_uri(
    watched: WatchedGcs, tmp_path: Path, strict_gcs: StrictGcs
) -> None:
    """It is in the spool alone, whose file nobody else may read."""

    def decide(request: Request) -> Fault | None:
        ends = request.kind == Kind.COMPLETE and request.key == watched.key(NAME)
        return Answer(503, "backendError") if ends else None

    watched.proxy.decide = decide
    shell = Shell(tmp_path)
    shell.environment |= strict_gcs.environment()
    url = (
        f"gs://{watched.bucket}/{watched.prefix}?endpoint={watched.proxy.endpoint}&part-size=16MiB"
    )
    source = shell.file(os.urandom(33 * MIB))
    said = [shell.run("put", "--destination", url, source, NAME)]
    drain = shell.start("drain", "-vv", "--workers", "1")
    try:
        shell.wait_until(lambda: ended(watched) > 1)  # of the tries of one step
        drain.terminate()
        told, errors = drain.communicate(timeout=30)
    finally:
        shell.end()
    said += [shell.run(word, *more) for word in ("status", "ls") for more in ((), ("--json",))]
    assert [one.returncode for one in said] == [0] * 5, errors
    secret = watched.requests(Kind.COMPLETE)[-1].session
    assert "backendError" in errors
    assert not any(secret in text for one in said for text in (one.stdout, one.stderr))
    assert secret not in told + errors
    kept = [path for path in shell.spool_path.rglob("*") if path.is_file()]
    having = {path for path in kept if secret.encode() in path.read_bytes()}
    assert {path.name for path in having} <= {"spool.db", "spool.db-wal"}
    assert having
    for path in having:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.spool_path.stat().st_mode) == 0o700
