"""Hold the table of states closed, and the design page to the table."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

import uploader
from uploader.state import (
    FINISHED,
    HOLDS_BYTES,
    LIVE,
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    State,
    after,
    chart,
)


def test_the_table_has_every_state_and_leads_to_states_only() -> None:
    """No state was forgotten, and every one can be reached from `ready`."""
    assert set(TRANSITIONS) == set(State)
    reached, ahead = {State.READY}, [State.READY]
    while ahead:
        for state in set(TRANSITIONS[ahead.pop()].values()) - reached:
            reached.add(state)
            ahead.append(state)
    assert reached == set(State)


def test_every_event_happens_somewhere() -> None:
    """An event that no state allows would be dead weight."""
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_an_event_leads_where_the_table_says_or_is_refused(state: State, event: Event) -> None:
    """All 42 pairs."""
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransitionError, match=f"{state.value} cannot {event.value}"):
            after(state, event)


def test_what_is_over_stays_over() -> None:
    """Only a dead letter can live again; done, superseded and cancelled allow nothing."""
    assert {state for state in FINISHED if TRANSITIONS[state]} == {State.DEAD}
    assert set(State) == FINISHED | LIVE
    assert {State.DEAD} == HOLDS_BYTES - LIVE


def test_no_event_leads_from_a_state_to_itself() -> None:
    """A second `start` or `finish` is a fault, and shows as one."""
    assert all(state not in events.values() for state, events in TRANSITIONS.items())


def test_the_design_page_shows_the_table_as_it_is() -> None:
    """The chart in the page is generated; this holds it current."""
    page = Path(uploader.__file__).with_name("README.md").read_text()
    shown = page.split("<!-- states -->")[1].split("<!-- /states -->")[0]
    assert shown.strip() == chart()
