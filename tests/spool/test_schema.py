"""Hold the database to the table of states, and to what it refuses whoever writes."""

from __future__ import annotations

import sqlite3
from itertools import product
from typing import Any

import pytest

from tests.place import Place
from uploader.errors import ErrorClass
from uploader.model import Kind
from uploader.state import TRANSITIONS, State

#: for each state, the columns that its CHECK constraints ask for
COLUMNS = {
    State.READY: "finished_at = NULL, receipt = NULL",
    State.ACTIVE: "finished_at = NULL, receipt = NULL",
    State.DONE: """finished_at = 1, receipt = '{"etag": "", "size": 1, "crc32c": 1, "time": 1}'""",
    State.DEAD: "finished_at = 1, receipt = NULL, error_class = 'permanent', error = 'why'",
    State.SUPERSEDED: "finished_at = 1, receipt = NULL",
    State.CANCELLED: "finished_at = 1, receipt = NULL",
}

#: how each state is reached
WAY = {
    State.READY: (),
    State.ACTIVE: (State.ACTIVE,),
    State.DONE: (State.ACTIVE, State.DONE),
    State.DEAD: (State.ACTIVE, State.DEAD),
    State.SUPERSEDED: (State.SUPERSEDED,),
    State.CANCELLED: (State.CANCELLED,),
}


def move(place: Place, upload_id: str, state: State) -> None:
    """Write a state, as a statement with a fault in it would."""
    place.spool._journal.execute(
        f"UPDATE upload SET state = ?, {COLUMNS[state]} WHERE id = ?", (state.value, upload_id)
    )


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_the_database_allows_what_the_table_allows(
    place: Place, before: State, after: State
) -> None:
    """All 36 pairs, each tried; what is refused has changed nothing."""
    upload_id = place.put("name", "content")
    for state in WAY[before]:
        move(place, upload_id, state)
    if after in TRANSITIONS[before].values():
        move(place, upload_id, after)
        assert place.spool.upload(upload_id).state is after
    else:
        with pytest.raises(sqlite3.IntegrityError, match="illegal transition"):
            move(place, upload_id, after)
        assert place.spool.upload(upload_id).state is before


@pytest.mark.parametrize(
    "column", ["finished_at = 1", "receipt = '{}'", "state = 'dead', finished_at = 1"]
)
def test_a_state_without_its_columns_is_refused(place: Place, column: str) -> None:
    """No end without a time, no receipt without an arrival, no dead letter without a reason."""
    upload_id = place.put("name", "content")
    move(place, upload_id, State.ACTIVE)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        place.spool._journal.execute(f"UPDATE upload SET {column} WHERE id = ?", (upload_id,))


ITEM: dict[str, Any] = {
    "id": "0" * 32,
    "kind": "file",
    "name": "name",
    "overwrite": 0,
    "size": 1,
    "run": "",
    "rank": 0,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "0" * 31},
        {"id": "../" + "0" * 29},
        {"id": "A" * 32},
        {"id": None},
        {"kind": "directory"},
        {"name": None},
        {"overwrite": 2},
        {"overwrite": None},
        {"size": -1},
        {"size": None},
        {"target": "a file has none"},
        {"kind": "symlink", "size": None},
        {"kind": "symlink", "target": "a symlink has no size"},
        {"run": None},
        {"rank": None},
    ],
    ids=str,
)
def test_an_item_that_is_no_upload_is_refused_whole(place: Place, changed: dict[str, Any]) -> None:
    """Journal and ledger alike stay as they were, and the next put finds nothing in its way."""
    with pytest.raises(sqlite3.IntegrityError):
        place.spool._journal.put(ITEM | changed)
    assert place.spool.uploads() == []
    assert place.spool._journal.rows("SELECT count(*) FROM ack_queue_journal") == [(0,)]
    other = Place(place.folder)
    other.put("name", "content")
    other.spool.close()


def test_an_id_is_used_once(place: Place) -> None:
    """A retried put of what is there is refused, not doubled."""
    place.spool._journal.put(ITEM)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        place.spool._journal.put(ITEM | {"name": "another"})


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_known_to_the_database(place: Place, kind: Kind) -> None:
    """A kind that is added in Python has to be added there."""
    form = {"target": "t", "size": None} if kind is Kind.SYMLINK else {}
    place.spool._journal.put(ITEM | {"kind": kind.value} | form)


@pytest.mark.parametrize("error_class", ErrorClass)
def test_every_error_class_is_known_to_the_database(place: Place, error_class: ErrorClass) -> None:
    """And an unknown one is refused."""
    place.die(place.put("name", "content"), error_class)
    assert place.spool.dead_letters()[0].error_class is error_class
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        place.spool._journal.execute("UPDATE upload SET error_class = 'bad luck'")


def test_waits_go_backwards_only(place: Place) -> None:
    """So they can never form a ring, whatever wrote them."""
    place.put("name", "content")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        place.spool._journal.execute("UPDATE upload SET waiting_on = seq")


def test_the_tally_is_a_count(place: Place) -> None:
    """Kept up by triggers, through every kind of end; `status` needs no scan."""
    arrived, dead, given_up = (place.put(name, name) for name in ("arrived", "dead", "given up"))
    place.put("waits", "waits")
    place.put("replaced", "12345")
    place.put("replaced", "123", overwrite=True)
    place.link("waits", "link")
    place.arrive(arrived)
    place.die(dead, ErrorClass.PERMANENT)
    place.spool.cancel(given_up)
    place.die(place.put("revived", "revived"), ErrorClass.PERMANENT)
    place.spool.retry("revived")
    move(place, place.put("active", "active"), State.ACTIVE)
    counted = place.spool._journal.rows(
        "SELECT state, count(*), coalesce(sum(size), 0) FROM upload GROUP BY state"
    )
    tally = place.spool.ledger.tally()
    assert {State(state): (count, size) for state, count, size in counted} == {
        state: entry for state, entry in tally.items() if entry[0]
    }
    assert set(tally) == set(State)
    assert all(tally[state][0] for state in State)
