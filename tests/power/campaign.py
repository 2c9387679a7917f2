"""Records a scenario, and tries the states in which a power loss could leave it.

python -m tests.power.campaign [--states N] [--seed S] [SCENARIO…]     0: all states there are
python -m tests.power.campaign --without-each-fsync
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from os.path import dirname
from pathlib import Path

from tests.power.disk import Moment, label, moments
from tests.power.oracle import Owed, faults
from tests.power.scenarios import DESTINATION, PLAYED
from tests.power.states import Pick, State, after, picks
from tests.power.tracing import Deed, Kind, record
from tests.power.world import World

MEMORY = Path("/dev/shm")  #: where no fsync waits: no power is cut here
BY_RULE = 5  #: of the choices at a moment, the first: all lost, all kept, names, contents, sizes
FEW = 3  #: states by chance at a moment that was chosen by chance


@dataclass(frozen=True)
class Wrong:
    """A state after which a promise was broken."""

    scenario: str
    at: int  #: calls before the power loss
    before: str  #: the call that it came before
    faults: list[str]


@dataclass
class Recording:
    """What one scenario did."""

    name: str
    base: Path
    deeds: list[Deed]
    there: list[str]  #: the directories that were there before

    @cached_property
    def syncs(self) -> dict[str, int]:
        """Where there was an fsync, and how often."""
        found: dict[str, int] = {}
        for deed in self.deeds:
            if deed.kind is Kind.SYNC:
                name = label(deed, str(self.base))
                found[name] = found.get(name, 0) + 1
        return found

    @cached_property
    def world(self) -> World:
        """The directory, to lay states out in."""
        paths = [deed.other or deed.path for deed in self.deeds if deed.kind is Kind.RENAME]
        paths += [deed.path for deed in self.deeds if deed.kind is Kind.CREATE]
        return World(self.base, {dirname(path) for path in paths})

    def moments(self, without: str = "") -> Iterator[Moment]:
        """Yield when the power may be lost; of the making of 256 buckets a few moments only."""
        for one in moments(self.deeds, str(self.base), self.there, without):
            making = one.next and one.next.kind is Kind.MKDIR and "/blobs/" in one.next.path
            if not making or one.at % 64 == 0:
                yield one

    def require_whole(self) -> None:
        """Raise `AssertionError` unless the model has the files that are really there."""
        *_, moment = self.moments()
        dirty = {node: file.pending for node, file in moment.files.items()}
        state = after(moment, Pick((True,) * len(moment.namings), dirty))
        paths = [path for path in self.base.rglob("*") if not path.is_dir() or path.is_symlink()]
        links = {str(path): str(path.readlink()) for path in paths if path.is_symlink()}
        files = {str(path): path.read_bytes() for path in paths if str(path) not in links}
        assert (state.files, state.links) == (files, links), "the recording left something out"


@contextmanager
def recorded(name: str, *, destination: bool = True) -> Iterator[Recording]:
    """Play a scenario and yield what it did; its directory is gone afterwards.

    With `destination` the directory to upload to is there before; else the drain makes it.
    """
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="uploader-power-", dir=where) as folder:
        base = Path(folder, "base")
        base.mkdir()
        there = [base / DESTINATION] if destination else []
        for path in there:
            path.mkdir()
        command = [sys.executable, "-m", "tests.power.traced", "scenario", name, str(base)]
        deeds = record(command, base, Path(folder, "trace"))
        recording = Recording(name, base, deeds, [str(path) for path in there])
        recording.require_whole()
        yield recording


def every_state(recording: Recording, seed: int) -> Iterator[tuple[Moment, State]]:
    """Yield all states there are, moment after moment."""
    for moment in recording.moments():
        for pick in picks(moment, seed):
            yield moment, after(moment, pick)


def some_states(recording: Recording, count: int, seed: int) -> Iterator[tuple[Moment, State]]:
    """Yield `count` states (some may be equal): by rule where it matters most, then by chance."""
    all_moments = list(recording.moments())
    dice = random.Random(seed)
    matter = [one for one in all_moments if _matters(one)]
    by_rule = [(one, at) for one in matter for at in range(BY_RULE)]
    for moment, at in dice.sample(by_rule, min(count // 2, len(by_rule))):
        yield moment, after(moment, _nth(moment, at, seed))
    for _ in range(count // 2 // FEW):
        moment = dice.choice(all_moments)
        choices = list(picks(moment, seed))
        for pick in dice.sample(choices, min(FEW, len(choices))):
            yield moment, after(moment, pick)


def _matters(moment: Moment) -> bool:
    """Tell whether it is the last moment before something is said, or becomes certain."""
    return moment.next is None or moment.next.kind in (Kind.SYNC, Kind.MARK)


def _nth(moment: Moment, at: int, seed: int) -> Pick:
    return next(islice(picks(moment, seed), at, None))


class Judge:
    """Tries states, each once, and keeps count."""

    def __init__(self, recording: Recording) -> None:
        """Try states of one recording."""
        self._recording = recording
        self._seen: set[tuple[int, int]] = set()

    @property
    def tried(self) -> int:
        """How many states were tried that differ."""
        return len(self._seen)

    def wrong(self, moment: Moment, state: State) -> Wrong | None:
        """Return what a state breaks, if anything, and if it was not tried before."""
        key = (state.digest, len(moment.marks))
        if key in self._seen:
            return None
        self._seen.add(key)
        self._recording.world.lay(state)
        found = faults(self._recording.world, Owed(moment.marks))
        if not found:
            return None
        following = moment.next
        before = f"{following.kind.name} {Path(following.path).name}" if following else "the end"
        return Wrong(self._recording.name, moment.at, before, found)


def caught_without(recording: Recording, sync: str, seed: int) -> Wrong | None:
    """Return the first state that shows that an fsync was left out; None if none does."""
    judge = Judge(recording)
    first = next(
        at
        for at, deed in enumerate(recording.deeds)
        if deed.kind is Kind.SYNC and label(deed, str(recording.base)) == sync
    )
    for moment in recording.moments(without=sync):
        if moment.at > first and _matters(moment):
            for pick in islice(picks(moment, seed), BY_RULE):
                if wrong := judge.wrong(moment, after(moment, pick)):
                    return wrong
    return None


def main(arguments: Sequence[str]) -> int:
    """Try states, or leave out each fsync; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=PLAYED)
    parser.add_argument("--states", type=int, default=1000, help="of each scenario; 0: all")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--without-each-fsync", action="store_true")
    chosen = parser.parse_args(arguments)
    print(f"seed {chosen.seed}")
    if chosen.without_each_fsync:
        return _leave_out_each(chosen.scenarios, chosen.seed)
    return sum(_try(name, chosen.states, chosen.seed) for name in chosen.scenarios) > 0


def _try(name: str, count: int, seed: int) -> int:
    with recorded(name) as recording:
        judge, found, begun = Judge(recording), 0, time.monotonic()
        chosen = some_states(recording, count, seed) if count else every_state(recording, seed)
        for moment, state in chosen:
            if wrong := judge.wrong(moment, state):
                found += 1
                print(wrong)
        seconds = time.monotonic() - begun
        print(
            f"{name}: {len(recording.deeds)} calls, {sum(recording.syncs.values())} of them fsync; "
            f"{judge.tried} states in {seconds:.1f} s, {found} wrong"
        )
    return found


def _leave_out_each(names: Sequence[str], seed: int) -> int:
    caught: dict[str, Wrong | None] = {}
    for name in names:
        with recorded(name) as recording:
            for sync in recording.syncs:
                if not caught.get(sync):
                    caught[sync] = caught_without(recording, sync, seed)
    for sync, wrong in sorted(caught.items()):
        print(f"{sync}: {wrong or 'NOTHING SHOWS IT'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
