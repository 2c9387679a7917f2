"""Builds the states in which a power loss may leave the disk: some by rule, others by chance.

By rule: all that is not certain is lost, or kept; only the names, or only the contents; each file,
and each name, alone; each file up to some sector, without some sector, or with one alone; a file
with its new size and without its bytes. By chance: each sector and each name by the toss of a coin.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from os.path import dirname
from typing import TYPE_CHECKING

from tests.power.disk import DIRECTORY, LINK, Change, File, Moment, applied, renamed
from tests.power.tracing import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SECTOR = 512  #: bytes that are written as a whole
PIECES = 16  #: parts that one write is torn into at most; larger ones then
CUTS = 12  #: of the places at which a file may be cut off, torn, or a name lost: so many each
COINS = 8  #: states by chance at each moment

NOTHING: tuple[Change, ...] = ()


@dataclass(frozen=True)
class State:
    """What a disk holds after the power came back."""

    directories: frozenset[str]
    files: dict[str, bytes]
    attributes: dict[str, dict[str, bytes]]
    links: dict[str, str]

    @property
    def digest(self) -> int:
        """A number that two states share only if they are equal, as good as certainly."""
        files = frozenset((path, hash(content)) for path, content in self.files.items())
        attributes = frozenset(
            (path, *sorted(values.items())) for path, values in self.attributes.items() if values
        )
        return hash((self.directories, files, attributes, frozenset(self.links.items())))


@dataclass(frozen=True)
class Pick:
    """Which of the changes that are not certain took place."""

    names: tuple[bool, ...]
    files: dict[int, tuple[Change, ...]]  #: of each file that has any


def states(moment: Moment, seed: int) -> Iterator[State]:
    """Yield states that a power loss at a moment may leave; some may be equal."""
    return (after(moment, pick) for pick in picks(moment, seed))


def after(moment: Moment, pick: Pick) -> State:
    """Return the state that one choice makes."""
    kept = [one for one, there in zip(moment.namings, pick.names, strict=True) if there]
    directories, names = renamed(moment.directories, moment.names, kept)
    if any(one.node == DIRECTORY for one in moment.namings):
        directories = _reachable(directories)
    state = State(directories, {}, {}, {})
    for path, node in names.items():
        if dirname(path) in directories:
            file = moment.files[node]
            content, attributes = applied(file, pick.files.get(node, NOTHING))
            if LINK in attributes:
                state.links[path] = content.decode()
            else:
                state.files[path], state.attributes[path] = content, attributes
    return state


def _reachable(directories: frozenset[str]) -> frozenset[str]:
    base, *others = sorted(directories)
    found = {base}
    for path in others:
        if dirname(path) in found:
            found.add(path)
    return frozenset(found)


def picks(moment: Moment, seed: int) -> Iterator[Pick]:
    """Yield choices: by rule, then by chance."""
    dirty = {node: pieces(file) for node, file in moment.files.items() if file.pending}
    lost = Pick((False,) * len(moment.namings), dict.fromkeys(dirty, NOTHING))
    kept = Pick((True,) * len(moment.namings), dirty)
    yield lost
    yield kept
    yield replace(kept, files=lost.files)
    yield replace(kept, names=lost.names)
    yield replace(kept, files={node: sized(moment.files[node]) for node in dirty})
    yield from _single_names(lost, kept)
    for node, changes in dirty.items():
        for some in _partial(changes):
            yield replace(kept, files={**dirty, node: some})
            yield replace(kept, files={**lost.files, node: some})
    yield from _by_chance(lost, dirty, random.Random(f"{seed}.{moment.at}"))


def _single_names(lost: Pick, kept: Pick) -> Iterator[Pick]:
    for at in spread(range(len(lost.names)), CUTS):
        for pick in (lost, kept):
            names = [*pick.names]
            names[at] = not names[at]
            yield replace(pick, names=tuple(names))
            yield replace(kept, names=tuple(names))


def _partial(changes: tuple[Change, ...]) -> Iterator[tuple[Change, ...]]:
    for at in spread(range(len(changes)), CUTS):
        yield changes[:at]
        yield (*changes[:at], *changes[at + 1 :])
        yield changes[at : at + 1]
    yield NOTHING


def _by_chance(
    lost: Pick, dirty: dict[int, tuple[Change, ...]], dice: random.Random
) -> Iterator[Pick]:
    if not dirty and not lost.names:
        return
    for _ in range(COINS):
        share = dice.random()
        yield Pick(
            tuple(dice.random() < share for _ in lost.names),
            {
                node: tuple(one for one in changes if dice.random() < share)
                for node, changes in dirty.items()
            },
        )


def pieces(file: File) -> tuple[Change, ...]:
    """Return a file's pending changes, writes torn into sectors."""
    return tuple(piece for change in file.pending for piece in _torn(change))


def _torn(change: Change) -> Iterator[Change]:
    if change.kind is not Kind.WRITE:
        yield change
        return
    size = len(change.data)
    step = max(SECTOR, -(-size // PIECES) // SECTOR * SECTOR)
    at = 0
    while at < size:
        end = min(size, (change.offset + at) // step * step + step - change.offset)
        yield Change(Kind.WRITE, change.offset + at, change.data[at:end])
        at = end


def sized(file: File) -> tuple[Change, ...]:
    """Return what gives a file its new size, and zeros where its new bytes should be."""
    ends = [one.offset + len(one.data) for one in file.pending if one.kind is not Kind.ATTRIBUTE]
    size = max([len(file.certain), *ends])
    return (Change(Kind.EXTEND, size),)


def spread(items: Sequence[int], most: int) -> Iterable[int]:
    """Return up to `most` of the items, evenly, the first and the last among them."""
    if len(items) <= most:
        return items
    return sorted({items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)})
