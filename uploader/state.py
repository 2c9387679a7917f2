"""Hold the life of an upload: every state, every event, every legal transition, in one table.

The database refuses what this table refuses (a trigger in `spool/schema.sql`, kept equal by a
test), so a bug in the schedule becomes an error and never a wrong state.
"""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where an upload is."""

    READY = "ready"  #: spooled; may start when `not_before` has passed and nothing goes before it
    ACTIVE = "active"  #: the supervisor has steps of it in flight
    DONE = "done"  #: at the destination, with a receipt
    DEAD = "dead"  #: given up with a reason; its bytes are kept, a person may retry it
    SUPERSEDED = "superseded"  #: a newer version of the name took its place
    CANCELLED = "cancelled"  #: given up by a person


class Event(str, Enum):
    """What happens to an upload."""

    START = "start"
    FINISH = "finish"
    PUT_BACK = "put_back"  #: a failed attempt, a shutdown or a crash: it waits for its next attempt
    FAIL = "fail"
    SUPERSEDE = "supersede"
    CANCEL = "cancel"
    RETRY = "retry"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.READY: {
        Event.START: State.ACTIVE,
        Event.SUPERSEDE: State.SUPERSEDED,
        Event.CANCEL: State.CANCELLED,
    },
    State.ACTIVE: {
        Event.FINISH: State.DONE,
        Event.PUT_BACK: State.READY,
        Event.FAIL: State.DEAD,
        Event.CANCEL: State.CANCELLED,
    },
    State.DEAD: {
        Event.RETRY: State.READY,
        Event.SUPERSEDE: State.SUPERSEDED,
        Event.CANCEL: State.CANCELLED,
    },
    State.DONE: {},
    State.SUPERSEDED: {},
    State.CANCELLED: {},
}

LIVE = frozenset({State.READY, State.ACTIVE})  #: will go on by itself
HOLDS_BYTES = frozenset({State.READY, State.ACTIVE, State.DEAD})  #: its blob must stay on disk
FINISHED = frozenset(State) - LIVE


class IllegalTransitionError(RuntimeError):
    """An event that the state does not allow; nothing was changed."""


def after(state: State, event: Event) -> State:
    """Return the state that follows `state` on `event`, or raise `IllegalTransitionError`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        allowed = ", ".join(TRANSITIONS[state]) or "nothing"
        msg = f"an upload that is {state.value} cannot {event.value}; it allows: {allowed}"
        raise IllegalTransitionError(msg) from None


def chart() -> str:
    """Return the table as Markdown, for the design page (a test holds the page to it)."""
    rows = ["| from | event | to |", "|---|---|---|"]
    rows += [
        f"| {state.value} | {event.value} | {target.value} |"
        for state, events in TRANSITIONS.items()
        for event, target in events.items()
    ]
    return "\n".join(rows)
