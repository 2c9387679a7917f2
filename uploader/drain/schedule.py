"""Choose what to do next, so that small uploads are not stuck behind a large one.

Pure decisions; the order per name and the wait of symlinks are the ledger's (`waiting_on`).

- The parts of one large file go to all workers, except for a quarter of them (at least one) when
  something small is waiting. With a single worker, the two kinds take turns.
- At most `LARGE_AT_ONCE` large files are under way, so that each is finished soon.
- Before a deadline, what can still arrive by it, at the speed that was measured, goes first: what
  is nearly finished, then symlinks (a `latest` goes right behind its target), then the newest: a
  later checkpoint is worth more than an earlier one. What cannot arrive goes last, the least first;
  its parts are kept for the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from uploader.model import Upload

LARGE_AT_ONCE = 2  #: large files under way
SMALL = 1 << 20  #: bytes up to which uploads go to a worker together
SMALL_AT_ONCE = 32  #: of them to one worker; what a kill costs at most is their requests
REMOVED_AT_ONCE = 64  #: blobs that a worker removes beside a batch: it keeps up with two
WINDOW = 256  #: candidates looked at together; bounds memory whatever the backlog
NEARLY = 0.5  #: share of its bytes from which on an upload counts as nearly finished
SAFE = 0.9  #: share of the time left that is planned with; the last commits take theirs


@dataclass(frozen=True)
class Room:
    """How many steps may be handed out, and to whom."""

    free: int  #: workers without a step
    limit: int  #: steps that may be in flight in all
    parts: int  #: of those in flight that are parts


@dataclass(frozen=True)
class Remains:
    """What is left to send of an upload."""

    seq: int
    size: int  #: bytes of the whole; 0 of a symlink
    rest: int  #: bytes of it that have not arrived
    step: int  #: bytes that go in one step; parts that arrived are kept
    spread: bool  #: whether several workers send it at once
    is_link: bool

    @property
    def nearly_done(self) -> bool:
        """Whether more has arrived than is left."""
        return bool(self.size) and self.size - self.rest >= NEARLY * self.size


@dataclass(frozen=True)
class Speed:
    """How fast bytes get across, as far as was measured."""

    one: float  #: bytes per second of one worker, beside the others
    all: float  #: bytes per second of all


@dataclass(frozen=True)
class Outlook:
    """What can still be sent before a deadline."""

    seconds: float  #: that are left
    speed: Speed | None  #: None: nothing was measured, so everything may be in time

    def covers(self, size: int, taken: int = 0, *, by_all: bool) -> bool:
        """Tell whether `size` bytes arrive in time, beside `taken` others that go before them."""
        if self.speed is None:
            return True
        seconds = self.seconds * SAFE
        by_one = by_all or size <= seconds * self.speed.one
        return by_one and taken + size <= seconds * self.speed.all


def by_worth(remains: Iterable[Remains], outlook: Outlook) -> Iterator[tuple[Remains, bool]]:
    """Yield what to send before a deadline, best first, each with whether it arrives by then."""
    taken, late = 0, []
    for one in sorted(remains, key=_worth):
        if outlook.covers(one.rest, taken, by_all=one.spread):
            taken += one.rest
            yield one, True
        else:
            late.append(one)
    for one in sorted(late, key=lambda one: (one.rest, -one.seq)):
        yield one, False


def _worth(one: Remains) -> tuple[int, int, int]:
    if one.nearly_done:
        return 0, one.rest, -one.seq
    return (1 if one.is_link else 2), 0, -one.seq


def part_places(room: Room, *, small_waits: bool, parts_turn: bool) -> int:
    """Return how many parts may be handed out now."""
    if not small_waits:
        return room.free
    if room.limit == 1:
        return room.free if parts_turn else 0
    reserve = max(1, room.limit // 4)
    return max(0, min(room.free, room.limit - reserve - room.parts))


def small_at_once(seconds: float) -> int:
    """Return how many small uploads one worker gets together, with so many seconds left.

    They are recorded together: what is not when time is up is sent again by the next run.
    """
    return int(max(1, min(SMALL_AT_ONCE, seconds)))


def deal(
    candidates: Iterable[Upload],
    free: int,
    large_active: int,
    is_large: Callable[[Upload], bool],
    *,
    at_once: int,
) -> list[list[Upload]]:
    """Return which candidates to start: for each of up to `free` workers one, or some small files.

    A symlink goes alone: it may be a copy that takes the store its time. Small files that were
    logged after one another stay together: names that are alike are asked for together.

    Args:
        candidates: in the order in which they should start.
        free: workers without a step.
        large_active: large files under way.
        is_large: tells whether an upload goes in parts.
        at_once: small uploads that one worker may get together.
    """
    alone: list[list[Upload]] = []
    small: list[Upload] = []
    for upload in candidates:
        hands = free - len(alone)
        spare = hands - -(-len(small) // at_once)  # workers that no small one needs
        if not spare and len(small) == hands * at_once:
            break
        if is_large(upload):
            if spare and large_active < LARGE_AT_ONCE:
                large_active += 1
                alone.append([upload])
        elif upload.size is not None and upload.size <= SMALL:
            if len(small) < hands * at_once:
                small.append(upload)
        elif spare:
            alone.append([upload])
    hands = min(free - len(alone), len(small))
    return alone + [
        small[len(small) * hand // hands : len(small) * (hand + 1) // hands]
        for hand in range(hands)
    ]
