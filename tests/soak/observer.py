"""Looks at a destination as a reader would, while everything is being killed.

It holds what is visible to the promises that have no "in the end" in them: versions of a name only
ever go up, and an alias never leads to something that is not there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.soak.destinations import UnreachableError
from tests.soak.trainer import HOT_NAMES, number_of

if TYPE_CHECKING:
    from tests.soak.destinations import Destination
    from tests.soak.outcome import Outcome


class Observer:
    """One that remembers what it saw."""

    def __init__(self, destination: Destination, outcome: Outcome, ranks: int) -> None:
        self._destination = destination
        self._outcome = outcome
        self._hot = [f"hot/{rank}-{one}" for rank in range(ranks) for one in range(HOT_NAMES)]
        self._aliases = [f"latest/{rank}" for rank in range(ranks)]
        self._names = itertools.cycle([*self._hot, *self._aliases])
        self._seen: dict[str, int] = {}

    def look(self) -> bool:
        """Look at one name, the next one each time; tell whether it could be seen."""
        name = next(self._names)
        try:
            if name in self._aliases:
                self._look_through(name)
            else:
                self._must_not_go_back(name, self._destination.head(name))
        except UnreachableError:
            self._outcome.blind += 1
            return False
        self._outcome.looks += 1
        return True

    def _look_through(self, alias: str) -> None:
        target = self._destination.target(alias)
        head = self._destination.head(target or alias)
        if target and head is None:
            self._outcome.faults.append(f"{alias} leads to {target}: not there")
        else:
            self._must_not_go_back(alias, head)

    def _must_not_go_back(self, name: str, head: bytes | None) -> None:
        before = self._seen.get(name, 0)
        if head is None:
            if before:
                self._outcome.faults.append(f"{name} had version {before} and is gone")
            return
        number = number_of(head)
        if number < before:
            self._outcome.faults.append(f"{name} went back from {before} to {number}")
        self._seen[name] = number
