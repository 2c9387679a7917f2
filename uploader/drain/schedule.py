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
WINDOW = 64  #: candidates looked at together; bounds memory whatever the backlog
DEADLINE_WINDOW = 256  #: the same with a deadline, where there is something to choose


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


def pick(
    candidates: Iterable[Upload],
    count: int,
    large_active: int,
    is_large: Callable[[Upload], bool],
    *,
    smallest_first: bool,
) -> list[Upload]:
    """Return up to `count` of the candidates to start, in order."""
    ordered = list(candidates)
    if smallest_first:
        ordered.sort(key=lambda upload: (upload.size or 0, upload.seq))
    picked: list[Upload] = []
    for upload in ordered:
        if len(picked) == count:
            break
        if is_large(upload):
            if large_active == LARGE_AT_ONCE:
                continue
            large_active += 1
        picked.append(upload)
    return picked
