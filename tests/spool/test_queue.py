"""What waits is counted by age and by reason, right in sum, and without a scan of its rows."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.place import Place
from uploader.errors import ErrorClass
from uploader.spool import queue, statements
from uploader.spool.queue import queue_of

NOW = 1_000_000.0  #: seconds since the epoch
STATEMENTS = (
    "ready_ends", "ready_from", "ready_between", "held", "retrying", "next_retries", "parts_sent",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A spool with a local destination."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


def wait(place: Place, *ages: float) -> list[str]:
    """Spool a file of a byte for each age in seconds, the oldest first."""
    ids = [place.put(f"waits/{number}", "x") for number in range(len(ages))]
    for upload_id, age in zip(ids, ages, strict=True):
        place.spool._journal.execute(
            "UPDATE upload SET enqueued_at = ? WHERE id = ?", (NOW - age, upload_id)
        )
    return ids


def by_age(place: Place) -> list[int]:
    """Return the counts from the youngest to the oldest."""
    return [one.uploads for one in queue_of(place.spool.ledger, NOW).ages]


def test_a_spool_in_which_nothing_waits_has_empty_ages(place: Place) -> None:
    """Also if something ended there."""
    assert by_age(place) == [0, 0, 0, 0, 0]
    place.arrive(place.put("one", "1"))
    assert by_age(place) == [0, 0, 0, 0, 0]


def test_what_waits_is_counted_by_its_age(place: Place) -> None:
    """A minute, five, an hour, a day: what has waited just so long is in the next group."""
    wait(place, 9e5, 86401, 86399, 3601, 3599, 301, 299, 61, 60, 59, 1)
    assert by_age(place) == [2, 3, 2, 2, 2]
    ages = queue_of(place.spool.ledger, NOW).ages
    assert [one.below for one in ages] == [60, 300, 3600, 86400, math.inf]
    assert [one.size for one in ages] == [2, 3, 2, 2, 2]
    assert all(one.exact for one in ages)


def test_what_ended_or_is_under_way_does_not_wait(place: Place) -> None:
    """Holes in the numbers are no uploads."""
    ids = wait(place, 5000, 4000, 200, 100, 3)
    place.arrive(ids[1])
    place.die(ids[3], ErrorClass.PERMANENT)
    assert by_age(place) == [1, 1, 0, 1, 0]


def test_one_age_of_very_many_is_what_the_others_leave(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that wait are known from the tally, so it need not be counted to be right."""
    monkeypatch.setattr(queue, "COUNTED", 3)
    wait(place, *[9e5] * 7, 30, 2)
    assert by_age(place) == [2, 0, 0, 0, 7]
    assert all(one.exact for one in queue_of(place.spool.ledger, NOW).ages)


def test_several_ages_of_very_many_share_the_rest_and_say_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the numbers that they span; the sum of counts and of bytes is right."""
    monkeypatch.setattr(queue, "COUNTED", 3)
    wait(place, *[9e5] * 8, *[100] * 4, 30, 2)
    ages = queue_of(place.spool.ledger, NOW).ages
    assert [one.uploads for one in ages] == [2, 4, 0, 0, 8]
    assert sum(one.size for one in ages) == 14
    assert [one.exact for one in ages] == [True, False, True, True, False]


def test_retries_and_what_is_held_are_apart_from_what_waits_its_turn(place: Place) -> None:
    """Those that are due first come first, with their last error."""
    first, second = place.put("first", "1"), place.put("second", "1")
    place.link("first", "latest")
    ledger_ = place.spool.ledger
    uploads = [place.spool.upload(one) for one in (first, second)]
    for (upload, _), delay in zip(ledger_.start_all(uploads), (60, 5), strict=True):
        ledger_.put_back(
            upload.seq, not_before=NOW + delay, counted=True,
            error_class=ErrorClass.TRANSIENT, error="reset",
        )  # fmt: skip
    waiting = queue_of(ledger_, NOW)
    assert (waiting.held, waiting.retries) == (1, 2)
    assert [(one.name, one.error) for one in waiting.next_retries] == [
        ("second", "reset"), ("first", "reset"),
    ]  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_goes_through_all_rows(place: Place, statement: str) -> None:
    """Each has an index; what it counts there has a limit, or is a few by nature."""
    values = dict.fromkeys(("seq", "first", "after", "limit"), 1)
    sql = statements.sql(statement)
    with sqlite3.connect(place.spool.layout.database) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    connection.close()
    scans = [step for step in plan if step.startswith("SCAN") and "USING" not in step]
    # parts are there only of files that are not finished; subqueries are those that have the limit
    assert all(step in ("SCAN p", "SCAN CONSTANT ROW", "SCAN (subquery-1)") for step in scans), plan
