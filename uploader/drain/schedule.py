"""Choose what to do next, so that small uploads are not stuck behind a large one.

Pure decisions; the order per name and the wait of symlinks are the ledger's (`waiting_on`).

- The parts of one large file go to all workers, except for a quarter of them (at least one) when
  something small is waiting. With a single worker, the two kinds take turns.
- At most `LARGE_AT_ONCE` large files are under way, so that each is finished soon.
- With a deadline the smallest go first: as many artifacts as possible arrive whole. (Parts of what
  does not finish are kept for the next run.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from uploader.model import Upload

LARGE_AT_ONCE = 2  #: large files under way
SMALL = 1 << 20  #: bytes up to which uploads go to a worker together
SMALL_AT_ONCE = 32  #: of them to one worker; what a kill costs at most is their requests
REMOVED_AT_ONCE = 64  #: blobs that a worker removes beside a batch: it keeps up with two
WINDOW = 256  #: candidates looked at together; bounds memory whatever the backlog


@dataclass(frozen=True)
class Room:
    """How many steps may be handed out, and to whom."""

    free: int  #: workers without a step
    limit: int  #: steps that may be in flight in all
    parts: int  #: of those in flight that are parts


def part_places(room: Room, *, small_waits: bool, parts_turn: bool) -> int:
    """Return how many parts may be handed out now."""
    if not small_waits:
        return room.free
    if room.limit == 1:
        return room.free if parts_turn else 0
    reserve = max(1, room.limit // 4)
    return max(0, min(room.free, room.limit - reserve - room.parts))


def deal(
    candidates: Iterable[Upload],
    free: int,
    large_active: int,
    is_large: Callable[[Upload], bool],
    *,
    at_once: int,
    smallest_first: bool,
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
        smallest_first: take them by size instead.
    """
    ordered = list(candidates)
    if smallest_first:
        ordered.sort(key=lambda upload: (upload.size or 0, upload.seq))
    alone: list[list[Upload]] = []
    small: list[Upload] = []
    for upload in ordered:
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
