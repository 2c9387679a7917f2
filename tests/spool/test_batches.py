"""Hold uploads that are started and finished together to what each would be alone."""

from __future__ import annotations

import pytest

from tests.place import Place
from uploader import Upload
from uploader.errors import ErrorClass
from uploader.model import Receipt
from uploader.spool.statements import sql
from uploader.state import State


def receipt(number: int) -> Receipt:
    """Return one that is like no other; its ETag has what JSON and SQL must quote."""
    return Receipt(f'"it\'s {number} é"', number, number, number + 0.5, f"v{number}")


def put(place: Place, *names: str) -> list[Upload]:
    """Spool a file under each name."""
    return [place.spool.upload(place.put(name, name)) for name in names]


def start(place: Place, *names: str) -> list[Upload]:
    """Spool a file under each name, and start them all."""
    return [upload for upload, _ in place.spool.ledger.start_all(put(place, *names))]


def test_what_is_started_together_comes_with_its_own_item(place: Place) -> None:
    """And as it is from now on."""
    started = place.spool.ledger.start_all(put(place, "a", "b", "c"))
    assert [upload.name for upload, _ in started] == ["a", "b", "c"]
    assert [item["id"] for _, item in started] == [upload.id for upload, _ in started]
    assert {upload.state for upload, _ in started} == {State.ACTIVE}


def test_what_may_not_start_any_more_is_left_out(place: Place) -> None:
    """The others start all the same."""
    first, cancelled, last = put(place, "a", "b", "c")
    place.spool.cancel("b")
    started = place.spool.ledger.start_all([first, cancelled, last])
    assert [upload.name for upload, _ in started] == ["a", "c"]
    assert place.spool.upload(cancelled.id).state is State.CANCELLED


def test_what_is_under_way_cannot_be_started_again(place: Place) -> None:
    """Two attempts of one upload would run side by side: a fault shows as one."""
    (upload,) = start(place, "a")
    (other,) = put(place, "b")
    with pytest.raises(RuntimeError, match="not in the state to start"):
        place.spool.ledger.start_all([other, upload])
    assert place.spool.upload(other.id).state is State.READY


def test_each_upload_that_arrived_keeps_its_own_receipt(place: Place) -> None:
    """However many are recorded together, and whatever the store calls them."""
    started = start(place, "a", "b", "c")
    ended = place.spool.ledger.finish_all(
        [(upload, receipt(number)) for number, upload in enumerate(started)]
    )
    assert ended == [upload.id for upload in started]
    done = [place.spool.upload(upload.id) for upload in started]
    assert [upload.receipt for upload in done] == [receipt(number) for number in range(3)]
    assert {(upload.state, upload.attempts) for upload in done} == {(State.DONE, 1)}
    assert place.spool._journal.rows("SELECT count(*) FROM ack_queue_journal") == [(0,)]


def test_arrivals_are_recorded_all_or_none(place: Place) -> None:
    """One that is not under way is a fault in the caller, and undoes the others with it."""
    (arrived,) = start(place, "a")
    (waiting,) = put(place, "b")
    with pytest.raises(RuntimeError, match="not in the state to finish"):
        place.spool.ledger.finish_all([(arrived, receipt(1)), (waiting, receipt(2))])
    assert place.spool.upload(arrived.id).state is State.ACTIVE


def test_each_arrival_ends_the_older_dead_letters_of_its_own_name(place: Place) -> None:
    """And of no other; their bytes may go with its own."""
    older = {name: place.put(name, "older", overwrite=True) for name in ("a", "b", "c")}
    for upload_id in older.values():
        place.die(upload_id, ErrorClass.PERMANENT)
    newer = start(place, "a", "b")
    ended = place.spool.ledger.finish_all([(upload, receipt(1)) for upload in newer])
    assert set(ended) == {*(upload.id for upload in newer), older["a"], older["b"]}
    states = [place.spool.upload(upload_id).state for upload_id in older.values()]
    assert states == [State.SUPERSEDED, State.SUPERSEDED, State.DEAD]


@pytest.mark.parametrize("statement", ["start", "finish", "older_dead"])
def test_a_batch_is_found_by_its_rows_whatever_the_backlog(place: Place, statement: str) -> None:
    """An index over all that is ready or done would be walked from end to end."""
    parameters = {"seqs": "[1, 2]", "now": 1.0, "receipts": "{}"}
    plan = place.spool._journal.rows(f"EXPLAIN QUERY PLAN {sql(statement)}", parameters)
    looks = [row[3] for row in plan if "upload" in row[3]]
    assert looks[0] == "SEARCH upload USING INTEGER PRIMARY KEY (rowid=?)"
    assert all("SCAN" not in one for one in looks)
