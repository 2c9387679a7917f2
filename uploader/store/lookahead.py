"""Find out in one or two requests which of many names are not there.

Before a name is created, nothing may have its other form; to ask so of each of many small files
is a second request for each. Their names mostly begin alike: a listing of what begins so tells it
of all of them, if it is a short one. Where it is long, or is not allowed, each name is asked for.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from uploader.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST = 250  #: keys in a listing; one that has more takes longer than it saves
FEWEST = 4  #: names for which to list: fewer are asked for one by one
REST = 64  #: lookups left out after one that told nothing, at most; twice as many each time


class Lookahead:
    """What one bucket's listings tell about names; for one thread."""

    def __init__(self, names: Callable[[str, int], set[str] | None]) -> None:
        """Ask `names` for those that begin alike; None if there are more than so many of them."""
        self._names = names
        self._rests = 0  #: lookups still to be left out
        self._in_vain = 0  #: lookups in a row that told nothing

    def absent(self, names: Sequence[str]) -> set[str]:
        """Return names that are not there; of those left out nothing is known."""
        if len(names) < FEWEST:
            return set()
        if self._rests:
            self._rests -= 1
            return set()
        found = {name for group in _alike(sorted(names)) for name in self._listed(group)}
        self._in_vain = 0 if found else self._in_vain + 1
        self._rests = min(REST, 2**self._in_vain - 1)
        return found

    def _listed(self, names: list[str]) -> set[str]:
        if len(names) < FEWEST:
            return set()
        try:
            there = self._names(_begin(names), MOST)
        except StoreError:  # to list is another permission; if more is wrong, each will meet it
            return set()
        return set() if there is None else set(names) - there


def _alike(names: list[str]) -> Iterator[list[str]]:
    """Part names in order where neighbours have least in common, as 00099 and 00100 do."""
    common = [len(_begin(pair)) for pair in pairwise(names)]
    least = min(common)
    at = common.index(least) + 1
    if common.count(least) == 1:
        yield names[:at]
        yield names[at:]
    else:
        yield names


def _begin(names: Sequence[str]) -> str:
    """Return what all names begin with, which may end inside of a directory's name."""
    return os.path.commonprefix(names)  # noqa: RUF071  just that is meant
