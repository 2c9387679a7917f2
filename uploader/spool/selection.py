"""Pick uploads by what a person or a logger knows of them: state, run, rank, id, name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.model import Upload
    from uploader.spool.ledger import Ledger
    from uploader.state import State


def select(
    ledger: Ledger, states: Iterable[State] | None = None, *, limit: int = -1, **like: Any
) -> list[Upload]:
    """Return uploads in enqueue order, at most `limit`.

    Args:
        ledger: where from.
        states: those in one of these states only; None: in any.
        limit: how many at most; -1: all.
        like: `name_glob`, `run`, `rank`; those that are None do not matter.
    """
    conditions, values = ["1"], []
    if states is not None:
        names = [state.value for state in states]
        # an index serves this; a condition that may be switched off by a parameter none does
        conditions.append(f"state IN ({','.join('?' * len(names))})")
        values += names
    for key, value in like.items():
        if value is not None:
            conditions.append("name GLOB ?" if key == "name_glob" else f"{key} = ?")
            values.append(value)
    return ledger.select(f"WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ?", [*values, limit])


def chosen(
    ledger: Ledger, states: Iterable[State], selectors: Iterable[str], *, what: str
) -> list[Upload]:
    """Return the uploads in these states that the selectors name, by id or by name.

    Raises:
        KeyError: a selector that names none; `what` says what was looked for.
    """
    found: dict[int, Upload] = {}
    marks = ",".join(f"'{state.value}'" for state in states)
    for selector in selectors:
        named = ledger.select(
            f"WHERE state IN ({marks}) AND (id = ?1 OR name = ?1) ORDER BY seq", (selector,)
        )
        if not named:
            msg = f"no {what} has the id or name {selector!r}; see: uploader ls"
            raise KeyError(msg)
        found.update({upload.seq: upload for upload in named})
    return list(found.values())
