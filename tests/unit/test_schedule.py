"""Hold the choice of what to do next, and how much of it at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import make_upload
from uploader.drain.schedule import (
    LARGE_AT_ONCE,
    SMALL,
    Outlook,
    Remains,
    Room,
    Speed,
    by_worth,
    deal,
    part_places,
    small_at_once,
)
from uploader.drain.throttle import Throttle
from uploader.model import Upload

LARGE = 32 << 20


def is_large(upload: Upload) -> bool:
    """Tell large from small, in this test."""
    return (upload.size or 0) >= LARGE


def uploads(*sizes: int) -> list[Upload]:
    """Return candidates in enqueue order."""
    return [make_upload(seq=seq, size=size) for seq, size in enumerate(sizes, start=1)]


def dealt(*sizes: int, free: int = 9, active: int = 0, at_once: int = 1) -> list[list[int]]:
    """Return the sizes that each worker gets."""
    hands = deal(uploads(*sizes), free, active, is_large, at_once=at_once)
    return [[upload.size or 0 for upload in hand] for hand in hands]


def test_uploads_are_dealt_in_the_order_in_which_they_came() -> None:
    """As many as there is room for."""
    assert dealt(3, 1, 2, free=2) == [[3], [1]]
    assert dealt(3, 1, 2, free=0) == []


def test_only_a_few_large_files_are_under_way_at_once() -> None:
    """So that each is finished soon; small ones go past those that wait."""
    assert dealt(LARGE, LARGE, LARGE, 1, 2) == [[LARGE], [LARGE], [1], [2]]
    assert dealt(LARGE, 1, active=LARGE_AT_ONCE) == [[1]]
    assert dealt(LARGE, LARGE, 1, active=LARGE_AT_ONCE - 1) == [[LARGE], [1]]


def test_small_uploads_go_to_a_worker_together() -> None:
    """Spread over all workers first; what is not small goes alone."""
    assert dealt(1, 2, 3, 4, 5, free=2, at_once=8) == [[1, 2], [3, 4, 5]]
    assert dealt(1, 2, 3, free=4, at_once=8) == [[1], [2], [3]]
    middle = SMALL + 1
    assert dealt(1, middle, 2, 3, free=2, at_once=8) == [[middle], [1, 2, 3]]


def test_few_small_uploads_go_together_when_time_is_short() -> None:
    """They are recorded together, or not at all."""
    assert [small_at_once(left) for left in (float("inf"), 40.0, 7.9, 0.0)] == [32, 32, 7, 1]


def test_a_symlink_goes_alone() -> None:
    """It may be a copy that takes the store its time; no small file waits for it."""
    small, link, other = (make_upload(seq=seq, size=size) for seq, size in enumerate((1, None, 2)))
    hands = deal([small, link, other], 2, 0, is_large, at_once=8)
    assert [[upload.seq for upload in hand] for hand in hands] == [[1], [0, 2]]


@given(
    st.lists(st.sampled_from([1, SMALL, SMALL + 1, LARGE]), max_size=60),
    st.integers(0, 6),
    st.integers(1, 8),
)
def test_no_worker_gets_more_than_it_may(sizes: list[int], free: int, at_once: int) -> None:
    """Nor is any upload dealt twice, nor a worker left idle that could have had one."""
    hands = deal(uploads(*sizes), free, 0, is_large, at_once=at_once)
    seqs = [upload.seq for hand in hands for upload in hand]
    assert len(seqs) == len(set(seqs))
    assert len(hands) <= free
    assert all(hands)
    assert all(len(hand) == 1 or max(one.size or 0 for one in hand) <= SMALL for hand in hands)
    assert sum(len(hand) for hand in hands) <= free * at_once
    startable = sum(size < LARGE for size in sizes) + min(LARGE_AT_ONCE, sizes.count(LARGE))
    assert len(hands) == min(free, startable)


def left(
    seq: int, rest: int, *, size: int | None = None, link: bool = False, spread: bool = True
) -> Remains:
    """Return what remains of an upload: all of it, unless its size is given too."""
    return Remains(seq, size or rest, rest, step=min(rest, 16), spread=spread, is_link=link)


def order(remains: list[Remains], outlook: Outlook) -> tuple[list[int], list[int]]:
    """Return which arrive in time and which do not, as they go."""
    ranked = list(by_worth(remains, outlook))
    in_time = [one.seq for one, arrives in ranked if arrives]
    assert [one.seq for one, _ in ranked[: len(in_time)]] == in_time  # these before the others
    return in_time, [one.seq for one, arrives in ranked if not arrives]


SWIFT = Outlook(10.0, Speed(one=1000.0, all=4000.0))
SLOW = Outlook(10.0, Speed(one=10.0, all=40.0))  #: 360 bytes in time, of which one worker sends 90


def test_before_a_deadline_the_newest_go_first() -> None:
    """A later checkpoint is worth more than an earlier one, whatever its size."""
    assert order([left(1, 5), left(2, 900), left(3, 7)], SWIFT) == ([3, 2, 1], [])


def test_before_a_deadline_what_is_nearly_finished_goes_before_the_newest() -> None:
    """The least left first; what has just been begun is not nearly finished."""
    remains = [left(1, 40, size=100), left(2, 10, size=100), left(3, 90, size=100), left(4, 100)]
    assert order(remains, SWIFT) == ([2, 1, 4, 3], [])


def test_before_a_deadline_a_symlink_goes_as_soon_as_it_may() -> None:
    """It is one request, and what a run that starts again asks for; its target has arrived."""
    assert order([left(1, 10), left(2, 0, link=True), left(3, 10)], SWIFT) == ([2, 3, 1], [])


def test_before_a_deadline_what_cannot_arrive_goes_last() -> None:
    """The least first: should it go faster than was measured, that one still arrives."""
    assert order([left(1, 100), left(2, 5000), left(3, 400), left(4, 200)], SLOW) == (
        [4, 1],
        [3, 2],
    )
    nearly = left(1, 4000, size=9000)
    assert order([nearly, left(2, 300)], SLOW) == ([2], [1])


def test_what_goes_first_takes_its_time_from_what_comes_after() -> None:
    """Two that would both be in time alone are not so together: the newer one is."""
    assert order([left(1, 200), left(2, 200)], SLOW) == ([2], [1])


def test_what_one_worker_sends_alone_is_measured_by_one_worker() -> None:
    """The whole's speed is of no use to a file that goes in one request."""
    assert order([left(1, 200, spread=False), left(2, 80, spread=False)], SLOW) == ([2], [1])


def test_before_anything_is_measured_everything_may_be_in_time() -> None:
    """Then the order alone decides."""
    assert order([left(1, 5), left(2, 1 << 50)], Outlook(0.1, None)) == ([2, 1], [])


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.booleans(), st.booleans()),
        max_size=40,
    ),
    st.floats(0, 100),
)
def test_no_more_is_promised_in_time_than_can_be_sent(
    given_: list[tuple[int, int, bool, bool]], seconds: float
) -> None:
    """And every upload has its place."""
    remains = [
        left(seq, rest, size=rest + sent, link=link, spread=spread)
        for seq, (rest, sent, link, spread) in enumerate(given_)
    ]
    outlook = Outlook(seconds, Speed(one=10.0, all=40.0))
    in_time, late = order(remains, outlook)
    assert sorted(in_time + late) == list(range(len(remains)))
    assert sum(remains[seq].rest for seq in in_time) <= 40.0 * seconds


rooms = st.builds(
    Room, free=st.integers(0, 16), limit=st.integers(1, 16), parts=st.integers(0, 16)
).filter(lambda room: room.free <= room.limit and room.parts <= room.limit - room.free)


@given(rooms)
def test_parts_take_all_workers_when_nothing_small_waits(room: Room) -> None:
    """One large file is as fast as the machine."""
    assert part_places(room, small_waits=False, parts_turn=False) == room.free


@given(rooms)
def test_parts_leave_a_quarter_of_the_workers_to_what_is_small(room: Room) -> None:
    """At least one; and they never take more than is free."""
    places = part_places(room, small_waits=True, parts_turn=False)
    assert 0 <= places <= room.free
    if room.limit > 1 and places:
        assert room.parts + places <= room.limit - max(1, room.limit // 4)


def test_a_single_worker_takes_turns() -> None:
    """A large file neither blocks the small ones nor waits for the last of them."""
    room = Room(free=1, limit=1, parts=0)
    assert part_places(room, small_waits=True, parts_turn=True) == 1
    assert part_places(room, small_waits=True, parts_turn=False) == 0


def test_four_workers_are_shared_three_to_one() -> None:
    """The example of the design page."""
    assert part_places(Room(4, 4, 0), small_waits=True, parts_turn=False) == 3
    assert part_places(Room(1, 4, 3), small_waits=True, parts_turn=False) == 0


def test_a_throttled_store_gets_half_and_then_slowly_more() -> None:
    """One step more after as many successes in a row as there are steps allowed."""
    throttle = Throttle(8)
    limits = [throttle.limit]
    throttle.complained()
    limits.append(throttle.limit)
    for _ in range(4):
        throttle.succeeded()
    limits.append(throttle.limit)
    for _ in range(4):
        throttle.succeeded()
    limits.append(throttle.limit)
    assert limits == [8, 4, 5, 5]


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 16))
def test_a_throttle_stays_between_one_and_the_most(answers: list[bool], most: int) -> None:
    """Whatever the store says, something goes on, and never more than was asked for."""
    throttle = Throttle(most)
    for well in answers:
        (throttle.succeeded if well else throttle.complained)()
        assert 1 <= throttle.limit <= most


def test_a_store_that_stopped_complaining_gets_all_again() -> None:
    """The way back up ends where it began."""
    throttle = Throttle(4)
    throttle.complained()
    throttle.complained()
    assert throttle.limit == 1
    for _ in range(1 + 2 + 3):
        throttle.succeeded()
    assert throttle.limit == 4
