"""Follow one upload by hand through each way it can go: steps out, answers in."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest

from tests.uploads import make_upload
from uploader.checksum import BlockChecksums, crc32c
from uploader.config import Options
from uploader.drain import steps
from uploader.drain.active import ActiveUpload, goes_to_all
from uploader.drain.steps import Answer, Failure, Step
from uploader.errors import ErrorClass
from uploader.model import Kind, PutMode, Receipt, SentPart, SymlinkMode
from uploader.spool.items import checksum_fields
from uploader.store.base import IN_ORDER, Limits

MIB = 1 << 20
LIMITS = Limits(
    whole_max=2 * MIB, part_min=MIB, part_max=1 << 40, parts_max=100, object_max=1 << 40
)
OPTIONS = Options(part_size=MIB)
RECEIPT = Receipt("etag", 1, 2, 3.0)

SMALL = secrets.token_bytes(1000)
LARGE = secrets.token_bytes(3 * MIB + 5)  # four parts, the last of five bytes


def sums_of(content: bytes) -> BlockChecksums:
    """Return what the spool, or a worker, finds by reading."""
    sums = BlockChecksums(len(content))
    sums.update(content)
    return sums


def active_file(content: bytes, *, clone: bool = False, **changed: Any) -> ActiveUpload:
    """Begin an upload of a file; of a clone nobody has read the bytes yet."""
    item = {} if clone else checksum_fields(sums_of(content))
    upload = make_upload(size=len(content), **changed)
    return ActiveUpload(upload, item, "/blob", LIMITS, OPTIONS)


def resumed(content: bytes, recorded: list[SentPart]) -> ActiveUpload:
    """Begin an upload whose session and parts a predecessor recorded."""
    active = active_file(content, session="session", part_size=MIB)
    active.sent = recorded
    return active


def next_of(active: ActiveUpload, kind: type[Step]) -> Any:
    """Take the next step, which must be of this kind."""
    step = active.next_step()
    assert type(step) is kind
    return step


def done(active: ActiveUpload, step: Step, value: Any = None) -> None:
    """Answer a step that went well."""
    active.answered(step, Answer(value))


def failed(
    active: ActiveUpload,
    step: Step,
    error_class: ErrorClass = ErrorClass.TRANSIENT,
    *,
    session_lost: bool = False,
) -> None:
    """Answer a step that failed."""
    active.answered(step, Answer(failure=Failure(error_class, "why", session_lost)))


def sent(step: steps.PutPart) -> SentPart:
    """Return what a store answers to a part."""
    return SentPart(step.part.number, step.part.size, f"mark {step.part.number}")


def begun(content: bytes = LARGE) -> ActiveUpload:
    """Return an upload with a fresh session."""
    active = active_file(content)
    done(active, next_of(active, steps.Begin), "session")
    return active


def ended(active: ActiveUpload) -> bool:
    """Tell whether the attempt is over."""
    return active.settled


def take_parts(active: ActiveUpload) -> list[steps.PutPart]:
    """Take every part that may be in flight."""
    taken = []
    while active.has_part_ready:
        taken.append(next_of(active, steps.PutPart))
    return taken


def test_a_small_file_goes_whole() -> None:
    """One step, with the checksum of the snapshot, and the receipt ends it."""
    active = active_file(SMALL, overwrite=True)
    step = next_of(active, steps.PutWhole)
    assert (step.body.size, step.body.crc32c, step.mode) == (
        1000,
        crc32c(SMALL),
        PutMode.OVERWRITE,
    )
    assert (step.meta.upload_id, step.meta.crc32c) == ("0" * 32, crc32c(SMALL))
    assert active.next_step() is None
    assert not ended(active)
    done(active, step, RECEIPT)
    assert ended(active)
    assert active.receipt == RECEIPT
    assert active.next_step() is None


def test_an_empty_file_goes_whole() -> None:
    """Its checksum is that of no bytes; it is not taken for a clone."""
    step = next_of(active_file(b""), steps.PutWhole)
    assert (step.body.size, step.body.crc32c) == (0, 0)


def test_a_symlink_is_one_step() -> None:
    """In the form that the spool remembers."""
    upload = make_upload(kind=Kind.SYMLINK, target="target", size=None, crc32c=None)
    options = replace(OPTIONS, symlink_mode=SymlinkMode.COPY)
    active = ActiveUpload(upload, {}, "", LIMITS, options)
    step = next_of(active, steps.Link)
    assert (step.target, step.name, step.form) == ("target", "name", SymlinkMode.COPY)
    assert not active.is_large
    done(active, step, RECEIPT)
    assert ended(active)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_clone_is_read_before_its_first_byte_is_sent(content: bytes) -> None:
    """And what was found by reading is what is sent along."""
    active = active_file(content, clone=True)
    step = next_of(active, steps.TakeChecksum)
    assert (step.path, step.size) == ("/blob", len(content))
    assert active.next_step() is None
    done(active, step, sums_of(content))
    assert active.item["crc32c"] == crc32c(content)
    after = active.next_step()
    assert isinstance(after, steps.PutWhole | steps.Begin)
    assert after.meta.crc32c == crc32c(content)


def test_a_large_file_goes_in_parts_all_at_once() -> None:
    """Nothing beside the beginning, then every part, then nothing beside the end."""
    active = active_file(LARGE)
    begin = next_of(active, steps.Begin)
    assert active.next_step() is None
    done(active, begin, "session")
    parts = take_parts(active)
    assert [step.part.size for step in parts] == [MIB, MIB, MIB, 5]
    for step in parts:
        data = LARGE[step.part.offset : step.part.offset + step.part.size]
        assert (step.session, step.body.offset) == ("session", step.part.offset)
        assert step.body.crc32c == crc32c(data)
    assert active.next_step() is None
    for step in reversed(parts):
        assert active.next_step() is None
        done(active, step, sent(step))
    complete = next_of(active, steps.Complete)
    assert [part.number for part in complete.parts] == [1, 2, 3, 4]
    assert active.next_step() is None
    done(active, complete, RECEIPT)
    assert ended(active)


def test_parts_of_a_session_with_an_order_go_one_after_another() -> None:
    """The next one only when the one before it has arrived; it ends as any other."""
    active = active_file(LARGE)
    done(active, next_of(active, steps.Begin), f"{IN_ORDER}session")
    for number in range(1, 5):
        step = next_of(active, steps.PutPart)
        assert step.part.number == number
        assert active.next_step() is None
        assert not active.has_part_ready
        done(active, step, sent(step))
    complete = next_of(active, steps.Complete)
    assert (complete.whole.path, complete.whole.size) == ("/blob", len(LARGE))
    done(active, complete, RECEIPT)
    assert ended(active)


@pytest.mark.parametrize(
    ("session", "in_order_below", "all_at_once"),
    [
        (None, 0, True),
        (None, len(LARGE), True),
        (None, len(LARGE) + 1, False),
        ("parts:session", 1 << 40, True),  # it was begun by a version that drew the line elsewhere
        (f"{IN_ORDER}session", 0, False),
    ],
)
def test_whether_parts_go_to_all_workers_is_the_sessions_to_say_and_before_it_the_sizes(
    session: str | None, in_order_below: int, all_at_once: bool
) -> None:
    """A small file goes to one worker whatever the store does with large ones."""
    limits = replace(LIMITS, in_order_below=in_order_below)
    upload = make_upload(size=len(LARGE), session=session, part_size=MIB if session else None)
    assert goes_to_all(upload, limits, OPTIONS) is all_at_once
    assert ActiveUpload(upload, {}, "/blob", limits, OPTIONS).goes_to_all is all_at_once
    assert not goes_to_all(make_upload(size=1000), limits, OPTIONS)


def test_a_recorded_session_goes_on_with_the_parts_that_are_missing() -> None:
    """After asking the store, which may have fewer than were recorded."""
    active = resumed(LARGE, [SentPart(n, MIB, f"mark {n}") for n in (1, 2)])
    ask = next_of(active, steps.Reconcile)
    assert [part.number for part in ask.recorded] == [1, 2]
    assert active.next_step() is None
    done(active, ask, [SentPart(2, MIB, "mark 2")])
    parts = take_parts(active)
    assert [step.part.number for step in parts] == [1, 3, 4]
    for step in parts:
        done(active, step, sent(step))
    assert len(next_of(active, steps.Complete).parts) == 4


def test_a_session_with_all_its_parts_is_completed_without_asking_for_them() -> None:
    """It may have been completed before a crash, and is then unknown: the object is there."""
    recorded = [
        SentPart(n, size, f"mark {n}") for n, size in ((3, MIB), (1, MIB), (2, MIB), (4, 5))
    ]
    active = resumed(LARGE, recorded)
    assert [part.number for part in next_of(active, steps.Complete).parts] == [1, 2, 3, 4]


def test_a_part_of_the_wrong_size_is_sent_again_and_counted_once() -> None:
    """As another cut left it: a list with both would never be accepted."""
    active = resumed(LARGE, [])
    done(
        active,
        next_of(active, steps.Reconcile),
        [SentPart(1, 77, "short"), SentPart(2, MIB, "mark 2"), SentPart(9, MIB, "beyond")],
    )
    parts = take_parts(active)
    assert [step.part.number for step in parts] == [1, 3, 4]
    for step in parts:
        done(active, step, sent(step))
    complete = next_of(active, steps.Complete)
    assert [(part.number, part.mark) for part in complete.parts] == [
        (number, f"mark {number}") for number in (1, 2, 3, 4)
    ]


def test_a_recorded_session_stays_in_parts_whatever_the_options_say_now() -> None:
    """The part size was fixed with the session."""
    upload = make_upload(size=len(LARGE), session="session", part_size=2 * MIB)
    item = checksum_fields(sums_of(LARGE))
    active = ActiveUpload(upload, item, "/blob", LIMITS, Options(part_size=64 * MIB))
    assert active.is_large
    done(active, next_of(active, steps.Reconcile), [])
    assert [step.part.size for step in take_parts(active)] == [2 * MIB, MIB + 5]


def test_a_failure_waits_for_the_parts_in_flight() -> None:
    """They may well succeed, and are recorded; nothing new is begun beside them."""
    active = begun()
    first, second = next_of(active, steps.PutPart), next_of(active, steps.PutPart)
    failed(active, first)
    assert not ended(active)
    assert active.next_step() is None
    done(active, second, sent(second))
    assert ended(active)
    assert [part.number for part in active.sent] == [2]
    assert active.failure == Failure(ErrorClass.TRANSIENT, "why")
    assert active.session == "session"


def test_the_first_of_several_failures_is_the_one_that_counts() -> None:
    """What follows is often only its echo."""
    active = begun()
    first, second = next_of(active, steps.PutPart), next_of(active, steps.PutPart)
    failed(active, first, ErrorClass.DAMAGED)
    failed(active, second, ErrorClass.TRANSIENT)
    assert active.failure
    assert active.failure.error_class is ErrorClass.DAMAGED


@pytest.mark.parametrize("kind", [steps.Begin, steps.Reconcile, steps.PutPart, steps.Complete])
def test_a_lost_session_is_forgotten(kind: type[Step]) -> None:
    """At whichever step it shows; the next attempt begins anew."""
    active = begun() if kind in (steps.PutPart, steps.Complete) else resumed(LARGE, [])
    if kind is steps.Begin:
        active = active_file(LARGE)
    if kind is steps.Complete:
        for part in take_parts(active):
            done(active, part, sent(part))
    failed(active, next_of(active, kind), session_lost=True)
    assert ended(active)
    assert active.session is None
    assert active.failure
    assert active.failure.session_lost


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_any_failure_ends_the_attempt(error_class: ErrorClass) -> None:
    """What follows from it is the policy's to say, not this upload's."""
    active = active_file(SMALL)
    failed(active, next_of(active, steps.PutWhole), error_class)
    assert ended(active)
    assert active.next_step() is None
    assert active.receipt is None


def test_cancelling_ends_it_once_nothing_is_in_flight() -> None:
    """No new step; a part that was under way is waited for."""
    active = begun()
    part = next_of(active, steps.PutPart)
    active.cancelling = True
    assert active.next_step() is None
    assert not ended(active)
    done(active, part, sent(part))
    assert ended(active)
    assert active.receipt is None


def test_cancelling_before_the_first_step_sends_nothing() -> None:
    """It is settled at once."""
    active = active_file(LARGE)
    active.cancelling = True
    assert ended(active)
    assert active.next_step() is None


def test_what_arrived_before_the_cancellation_has_arrived() -> None:
    """The receipt says so, and is kept."""
    active = active_file(SMALL)
    step = next_of(active, steps.PutWhole)
    active.cancelling = True
    done(active, step, RECEIPT)
    assert ended(active)
    assert active.receipt == RECEIPT


def test_a_step_that_was_not_tried_is_the_next_again() -> None:
    """The rest of a batch that had to be left: no failure, and no attempt used up."""
    active = active_file(SMALL)
    step = next_of(active, steps.PutWhole)
    active.answered(step, Answer(untried=True))
    assert not active.settled
    assert next_of(active, steps.PutWhole) == step
