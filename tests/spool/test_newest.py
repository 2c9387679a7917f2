"""Hold what is found at the new end of the backlog, for the time before a deadline."""

from __future__ import annotations

import pytest

from tests.place import Place
from uploader.errors import ErrorClass
from uploader.model import SentPart
from uploader.spool.statements import sql

FAR = 1e12  #: a horizon that no retry is beyond


def newest(place: Place, limit: int = 100, now: float = 1.0, horizon: float = FAR) -> list[str]:
    """Return the names of what is found, newest first."""
    ledger = place.spool.ledger
    found = ledger.uploads(sorted(ledger.newest.startable(now, horizon, limit)))
    return [upload.name for upload in reversed(found)]


def test_the_newest_are_found_however_many_there_are(place: Place) -> None:
    """As many as asked for."""
    for number in range(9):
        place.put(str(number), "x")
    assert newest(place, limit=3) == ["8", "7", "6"]


def test_what_waits_is_not_found_and_hides_nothing(place: Place) -> None:
    """More symlinks than are looked at together wait in front of what may start."""
    place.put("target", "x")
    place.put("other", "x")
    for number in range(20):
        place.spool.put_symlink("target", f"link{number}")
    assert newest(place, limit=2) == ["other", "target"]


def test_what_was_begun_is_found_however_old_it_is(place: Place) -> None:
    """With how much of it has arrived; a dead letter keeps its parts, and does not start."""
    ledger = place.spool.ledger
    for number in range(9):
        place.put(str(number), "x")
    for upload, _ in ledger.start_all(ledger.startable(1.0, FAR, 3)):
        ledger.record_session(upload.seq, "session", 1 << 20)
        ledger.record_part(upload.seq, SentPart(1, 5, "mark"))
        ledger.record_part(upload.seq, SentPart(2, 2, "mark"))
        if upload.name == "0":
            ledger.fail(upload, ErrorClass.TRANSIENT, "gave up")
        else:
            ledger.put_back(upload.seq)
    assert newest(place, limit=2) == ["8", "7", "2", "1"]
    seqs = ledger.newest.startable(1.0, FAR, 9)
    assert set(ledger.newest.sent(seqs).values()) == {7}
    assert len(ledger.newest.sent(seqs)) == 2


def test_a_retry_is_found_when_it_is_due_or_would_be_too_late(place: Place) -> None:
    """What is to be tried again only after the deadline is tried before it."""
    place.put("a", "x")
    place.put("b", "x")
    ledger = place.spool.ledger
    for upload, _ in ledger.start_all(ledger.startable(1.0, FAR, 1)):
        ledger.put_back(upload.seq, not_before=50.0, counted=True)
    assert newest(place, now=49.0) == ["b"]
    assert newest(place, now=50.0) == ["b", "a"]
    assert newest(place, now=1.0, horizon=49.0) == ["b", "a"]
    due = ledger.newest.retry_falls_due
    assert [due(1.0, 49.0), due(1.0, 50.0), due(50.0, 99.0)] == [False, True, False]


@pytest.mark.parametrize("statement", ["newest", "fresh_newest", "begun", "due_between", "sent"])
def test_no_look_from_the_new_end_reads_all_rows(place: Place, statement: str) -> None:
    """Each is a search by an index, with a bound."""
    given: dict[str, object] = {"look": 1, "now": 1.0, "horizon": 2.0, "limit": 1, "seqs": "[1]"}
    given |= {"after": 1.0, "until": 2.0}
    plan = place.spool._journal.rows(f"EXPLAIN QUERY PLAN {sql(statement)}", given)
    steps = [str(row[3]) for row in plan]
    assert not [step for step in steps if "SCAN upload" in step or "SCAN part" in step], steps
