"""Count what waits, by age and by what it waits for, without a scan of its rows.

- Numbers go up with time, so an age is a number: twenty looks into an index find it.
- Up to `COUNTED` rows of each age are counted one by one. One age that has more is what the others
  leave of all that waits, which the spool knows; several share that by the numbers they span, and
  say that they did. Their sum is right in any case.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from uploader.model import AgeGroup, Queue
from uploader.state import State

if TYPE_CHECKING:
    from uploader.spool.ledger import Ledger

AGES = (
    60.0,
    300.0,
    3600.0,
    86400.0,
    math.inf,
)  #: seconds; where one group ends and the next begins
COUNTED = 1000  #: rows of an age that are counted one by one: a millisecond
COUNTED_ALIKE = 10_000  #: index entries that are counted one by one: as long
NEXT_RETRIES = 5  #: uploads; enough to see by their errors what is wrong


def queue_of(ledger: Ledger, now: float) -> Queue:
    """Return what waits at `now`, in seconds since the epoch."""
    return Queue(
        ages=_ages(ledger, now),
        held=ledger.figures("held", limit=COUNTED_ALIKE)[0][0],
        retries=ledger.figures("retrying", limit=COUNTED_ALIKE)[0][0],
        counted_to=COUNTED_ALIKE,
        next_retries=tuple(
            ledger.upload(seq) for (seq,) in ledger.figures("next_retries", limit=NEXT_RETRIES)
        ),
    )


def _ages(ledger: Ledger, now: float) -> tuple[AgeGroup, ...]:
    waiting = ledger.tally()[State.READY]
    ends = ledger.figures("ready_ends")[0]
    if None in ends:
        return tuple(AgeGroup(age, 0, 0) for age in AGES)
    first, after = ends[0], ends[1] + 1
    spans = []
    for age in AGES:
        begin = first if age == math.inf else _first_after(ledger, now - age, first, after)
        spans.append((begin, after))
        after = begin
    return _counted(ledger, spans, waiting)


def _first_after(ledger: Ledger, time: float, first: int, after: int) -> int:
    """Return the number of the first upload that waits since after `time`; `after` if none does."""
    while first < after:
        middle = (first + after) // 2
        found = ledger.figures("ready_from", seq=middle)
        if not found or found[0][0] >= after or found[0][1] > time:
            after = middle
        else:
            first = found[0][0] + 1
    return after


def _counted(
    ledger: Ledger, spans: list[tuple[int, int]], waiting: tuple[int, int]
) -> tuple[AgeGroup, ...]:
    counts = [
        ledger.figures("ready_between", first=first, after=after, limit=COUNTED)[0]
        for first, after in spans
    ]
    large = [at for at, (uploads, _) in enumerate(counts) if uploads >= COUNTED]
    rest = [
        max(0, all_of_them - sum(one[kind] for at, one in enumerate(counts) if at not in large))
        for kind, all_of_them in enumerate(waiting)
    ]
    spanned = sum(spans[at][1] - spans[at][0] for at in large)
    for at in large:
        span = spans[at][1] - spans[at][0]
        share = [left * span // spanned for left in rest]
        rest = [left - taken for left, taken in zip(rest, share, strict=True)]
        counts[at], spanned = (share[0], share[1]), spanned - span
    return tuple(
        AgeGroup(age, uploads, size, exact=len(large) == 1 or at not in large)
        for at, (age, (uploads, size)) in enumerate(zip(AGES, counts, strict=True))
    )
