"""Hold the choice of what to do next, and how much of it at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.uploads import make_upload
from uploader.drain.schedule import LARGE_AT_ONCE, SMALL, Room, deal, part_places
from uploader.drain.throttle import Throttle
from uploader.model import Upload

LARGE = 32 << 20


def is_large(upload: Upload) -> bool:
    """Tell large from small, in this test."""
    return (upload.size or 0) >= LARGE


def uploads(*sizes: int) -> list[Upload]:
    """Return candidates in enqueue order."""
    return [make_upload(seq=seq, size=size) for seq, size in enumerate(sizes, start=1)]


def dealt(
    *sizes: int, free: int = 9, active: int = 0, at_once: int = 1, smallest_first: bool = False
) -> list[list[int]]:
    """Return the sizes that each worker gets."""
    hands = deal(
        uploads(*sizes), free, active, is_large, at_once=at_once, smallest_first=smallest_first
    )
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


def test_with_a_deadline_the_smallest_go_first() -> None:
    """As many artifacts as possible arrive whole; of equals the older."""
    assert dealt(50, LARGE, 7, 7, 1, smallest_first=True, free=4) == [[1], [7], [7], [50]]
    (same,) = deal(uploads(7, 7), 1, 0, is_large, at_once=1, smallest_first=True)
    assert [upload.seq for upload in same] == [1]


def test_small_uploads_go_to_a_worker_together() -> None:
    """Spread over all workers first; what is not small goes alone."""
    assert dealt(1, 2, 3, 4, 5, free=2, at_once=8) == [[1, 2], [3, 4, 5]]
    assert dealt(1, 2, 3, free=4, at_once=8) == [[1], [2], [3]]
    middle = SMALL + 1
    assert dealt(1, middle, 2, 3, free=2, at_once=8) == [[middle], [1, 2, 3]]


def test_a_symlink_goes_alone() -> None:
    """It may be a copy that takes the store its time; no small file waits for it."""
    small, link, other = (make_upload(seq=seq, size=size) for seq, size in enumerate((1, None, 2)))
    hands = deal([small, link, other], 2, 0, is_large, at_once=8, smallest_first=False)
    assert [[upload.seq for upload in hand] for hand in hands] == [[1], [0, 2]]


@given(
    st.lists(st.sampled_from([1, SMALL, SMALL + 1, LARGE]), max_size=60),
    st.integers(0, 6),
    st.integers(1, 8),
)
def test_no_worker_gets_more_than_it_may(sizes: list[int], free: int, at_once: int) -> None:
    """Nor is any upload dealt twice, nor a worker left idle that could have had one."""
    hands = deal(uploads(*sizes), free, 0, is_large, at_once=at_once, smallest_first=False)
    seqs = [upload.seq for hand in hands for upload in hand]
    assert len(seqs) == len(set(seqs))
    assert len(hands) <= free
    assert all(hands)
    assert all(len(hand) == 1 or max(one.size or 0 for one in hand) <= SMALL for hand in hands)
    assert sum(len(hand) for hand in hands) <= free * at_once
    startable = sum(size < LARGE for size in sizes) + min(LARGE_AT_ONCE, sizes.count(LARGE))
    assert len(hands) == min(free, startable)


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
