"""Show that what was measured is held against the right goals."""

from __future__ import annotations

from tests.bench import goals
from tests.bench.measure import Series, Work
from tests.bench.metering import Cost


def _series(name: str, seconds: list[float], cpu: list[float]) -> Series:
    one = Series("sink: a case", name, Work(1, 1 << 30))
    for second, burnt in zip(seconds, cpu, strict=True):
        one.take(Cost(second, burnt, 0))
    return one


OURS = _series("uploader", [2.0, 2.0, 9.0], [3.0, 3.0, 3.0])
FAST = _series("obstore", [1.0, 2.0, 9.0], [6.0, 6.0, 6.0])
LEAN = _series("s5cmd", [4.0, 4.0, 4.0], [2.0, 2.0, 2.0])


def test_time_and_cpu_are_held_against_the_best_peer_in_each() -> None:
    """The fastest need not be the leanest; ratios are taken within a round."""
    found = list(goals.targets("sink", goals.LARGE, [OURS, FAST, LEAN]))
    assert [(round(one.value, 2), one.limit, one.met) for one in found] == [
        (1.0, 1.0, True),  # of 2.0, 1.0 and 1.0 times obstore's
        (1.5, 1.2, False),
    ]
    assert ["obstore" in found[0].what, "s5cmd" in found[1].what] == [True, True]


def test_small_files_are_held_against_peers_by_name() -> None:
    """One that had no turn is left out, and is no success."""
    found = list(goals.targets("sink", goals.SMALL, [OURS, FAST, LEAN]))
    assert [(one.limit, one.met) for one in found] == [(2.0, True), (1.0, True)]


def test_a_goal_of_one_server_is_not_held_against_another() -> None:
    """CPU, and obstore, at the sink alone; and a case without goals has none."""
    found = list(goals.targets("seaweed", goals.LARGE, [OURS, FAST, LEAN]))
    assert [one.limit for one in found] == [1.0]
    assert list(goals.targets("seaweed", (1, 1), [OURS, FAST, LEAN])) == []
