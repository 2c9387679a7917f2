"""The page of `status`: few lines for what is well, and for each trouble what to type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.uploads import make_upload
from uploader import clock
from uploader.cli.dead_letters import dead_lines
from uploader.cli.queue import View, page
from uploader.errors import ErrorClass
from uploader.model import AgeGroup, InFlight, Queue, Status, Upload
from uploader.spool.queue import AGES
from uploader.state import State

MIB = 1 << 20
WELL = Status(
    spool="/spool",
    destination="s3://bucket/runs",
    counts=dict.fromkeys(State, 0) | {State.DONE: 1204},
    bytes_pending=0,
    bytes_sent=0,
    bytes_done=3 << 30,
    oldest_ready_age=None,
    throughput=0.0,
    agent_pid=42,
    agent_workers=4,
    in_flight=(),
    dead=(),
)
EMPTY = Queue(tuple(AgeGroup(age, 0, 0) for age in AGES), 0, 0, 10_000, ())


def dead(number: int, error_class: ErrorClass, error: str, **more: object) -> Upload:
    """Make a dead letter."""
    return make_upload(
        id=f"{number:032x}", name=f"ckpt/ep{number}.pt", state=State.DEAD, error_class=error_class,
        error=error, **more,
    )  # fmt: skip


def with_dead(*uploads: Upload, count: int | None = None) -> Status:
    """Make a status with dead letters."""
    counts = WELL.counts | {State.DEAD: len(uploads) if count is None else count}
    return replace(WELL, counts=counts, dead=uploads, bytes_dead=10 * len(uploads), agent_pid=None)


def test_a_spool_that_is_well_takes_five_lines() -> None:
    """Where, to where, who, what arrived, what is to go."""
    assert page(WELL, EMPTY, View()).split("\n") == [
        "spool        /spool",
        "destination  s3://bucket/runs",
        "agent        pid 42, 4 workers",
        "arrived      1,204 uploads, 3.0 GiB",
        "to go        nothing",
    ]


def test_what_waits_is_a_table_of_ages_and_its_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of a sum have a ~; a retry stands with its next attempt and its last error."""
    monkeypatch.setattr(clock, "now", lambda: 1000.0)
    retry = make_upload(
        state=State.READY, not_before=1004.0, attempts=2, error_class=ErrorClass.TRANSIENT,
        error="connection\nreset",
    )  # fmt: skip
    ages = tuple(
        AgeGroup(age, number, number * MIB, exact=number < 5000)
        for age, number in zip(AGES, (3, 0, 7, 5000, 6000), strict=True)
    )
    status = replace(
        WELL, counts=WELL.counts | {State.READY: 11010}, bytes_pending=11010 * MIB,
        oldest_ready_age=7200.0,
    )  # fmt: skip
    text = page(status, Queue(ages, 4, 1, 10_000, (retry,)), View())
    lines = text.split("\n")[6:]
    assert " ".join(lines[0].split()) == "waiting all < 1 min < 5 min < 1 h < 1 d older"
    assert lines[1].split() == ["uploads", "11,010", "3", "0", "7", "~5,000", "~6,000"]
    assert lines[2].split("  ")[-1].strip() == "~5.9 GiB"
    assert lines[3] == (
        "11,005 for their turn, 4 for an earlier version, or their target, 1 for another attempt; "
        "the oldest has waited 2.0 h"
    )
    assert lines[5] == "in 4.0 s        3  name: connection reset (transient)"


def test_what_is_under_way_has_speed_and_time_left_and_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files in parts first; a name loses its middle where the terminal is too narrow."""
    flights = (
        InFlight("a", "small", 10, 0, 0, 1, 2),
        InFlight("b", "ckpt/" + "long" * 30 + "/ep1.pt", 100 * MIB, 25 * MIB, 25, 100, 1),
    )
    status = replace(WELL, counts=WELL.counts | {State.ACTIVE: 2}, in_flight=flights,
                     bytes_pending=75 * MIB, bytes_sent=25 * MIB)  # fmt: skip
    view = View(width=80, speeds={"b": 5.0 * MIB}, throughput=5.0 * MIB)
    lines = page(status, EMPTY, view).split("\n")
    assert lines[4] == "to go        2 uploads, 75.0 MiB of 100.0 MiB; 5.0 MiB/s, 15.0 s left"
    first, second = lines[7:]
    assert " ".join(first.split()[:10]) == "25.0 MiB 25 % 100.0 MiB 25/100 5.0 MiB/s 15.0"
    assert first.endswith("/ep1.pt")
    assert "…" in first
    assert len(first) == 80
    assert second.split() == ["10", "bytes", "whole", "2", "small"]
    many = replace(status, in_flight=flights * 20)
    assert page(many, EMPTY, View(flights=3)).endswith("… and 37 more, 1.7 GiB")
    few_whole = replace(status, in_flight=flights[:1] * 20)
    assert page(few_whole, EMPTY, View()).endswith("… and 17 more, 170 bytes")


def test_without_an_agent_there_is_no_time_left() -> None:
    """The speed of the last ten seconds outlives the agent; nobody goes on at it."""
    left = replace(WELL, counts=WELL.counts | {State.READY: 1}, bytes_pending=75 * MIB)
    view = View(throughput=5.0 * MIB)
    assert page(left, EMPTY, view).split("\n")[4].endswith("75.0 MiB; 5.0 MiB/s, 15.0 s left")
    alone = replace(left, agent_pid=None)
    assert page(alone, EMPTY, view).split("\n")[4] == "to go        1 upload, 75.0 MiB"


def test_dead_letters_of_one_reason_are_told_together() -> None:
    """By what they died of, without their own names; each id stands there, and what mends all."""
    taken = [dead(n, ErrorClass.CONFLICT, f"ckpt/ep{n}.pt already exists") for n in range(12)]
    lines = dead_lines(with_dead(*taken))
    assert lines[0] == "12 dead letters; the bytes (120 bytes) are kept in the spool:"
    assert lines[1] == "  12 times: NAME already exists (conflict)"
    assert lines[2] == f"    {taken[0].id}  ckpt/ep0.pt"
    assert lines[12] == "    … and 2 more: uploader ls --spool /spool --state dead"
    assert lines[13].endswith(": uploader retry --spool /spool --all")
    assert lines[-1] == "  then upload them: uploader drain --spool /spool"
    assert dead_lines(replace(with_dead(*taken), agent_pid=42)) == lines[:-1]


def test_each_reason_has_the_command_that_mends_it() -> None:
    """With its ids where there are others, so that nothing else is tried again."""
    status = with_dead(
        dead(1, ErrorClass.PERMANENT, "access denied"),
        dead(2, ErrorClass.CONFLICT, "ckpt/ep2.pt already exists"),
    )
    text = "\n".join(dead_lines(status))
    first, second = (one.id for one in status.dead)
    assert f"{first}  ckpt/ep1.pt: access denied (permanent)" in text
    assert f"when the cause is gone: uploader retry --spool /spool {first}\n" in text
    assert f"to give up: uploader cancel --spool /spool {second}\n" in text


def test_no_retry_is_advised_for_what_is_damaged() -> None:
    """The bytes are gone: only a new put mends it."""
    status = with_dead(dead(1, ErrorClass.DAMAGED, "spool file damaged", overwrite=True))
    text = "\n".join(dead_lines(status))
    assert "retry --spool" not in text
    assert "uploader put --spool /spool FILE ckpt/ep1.pt --overwrite" in text
    assert f"then give this one up: uploader cancel --spool /spool {status.dead[0].id}" in text
    assert "then upload them" not in text


def test_more_dead_letters_than_were_looked_at_are_counted() -> None:
    """A page is not made of all of a million; it says where they are listed."""
    status = with_dead(dead(1, ErrorClass.PERMANENT, "denied"), count=1_000_000)
    lines = dead_lines(status)
    assert lines[0].startswith("1,000,000 dead letters")
    assert any("all of them: uploader ls --spool /spool --state dead" in line for line in lines)
