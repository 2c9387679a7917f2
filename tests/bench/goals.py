"""Compares what was measured with what must be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.measure import GIB, KIB, MIB, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.measure import Series

TIME, CPU = "time", "CPU"
SINK, BOTH = ("sink",), ("sink", "seaweed")
ALL = ""  #: instead of a name: whichever of the peers did best

LARGE, MIDDLE, SMALL = (1, 2 * GIB), (64, 16 * MIB), (2000, 64 * KIB)


@dataclass(frozen=True)
class Goal:
    """A figure of ours that may be at most so many times that of a peer."""

    case: tuple[int, int]  #: files, bytes of each
    figure: str
    peer: str
    limit: float
    servers: tuple[str, ...]

    def target(self, title: str, ours: Series, peers: Sequence[Series]) -> Target | None:
        """Return what came of it; None if the peer had no turn."""
        known = [peer for peer in peers if self.peer in (ALL, peer.name)]
        if not known:
            return None
        if self.figure == TIME:
            best = min(known, key=lambda one: one.median)
            value = ours.ratio_to(best)
        else:
            best = min(known, key=lambda one: one.rates["cpu_seconds_per_gib"])
            value = ours.cpu_ratio_to(best)
        whom = best.name if self.peer else f"the best peer's ({best.name})"
        return Target(f"{title}: {self.figure} over {whom}", value, self.limit, "x")


GOALS = (
    Goal(LARGE, TIME, ALL, 1.0, BOTH),
    Goal(LARGE, CPU, ALL, 1.2, SINK),
    Goal(MIDDLE, TIME, ALL, 1.0, BOTH),
    Goal(MIDDLE, CPU, ALL, 1.0, SINK),
    Goal(SMALL, TIME, "obstore", 2.0, SINK),
    Goal(SMALL, TIME, "s5cmd", 1.0, BOTH),
    Goal(SMALL, TIME, "rclone-tuned", 1.0, BOTH),
    Goal(SMALL, TIME, "boto3-4-processes", 0.3, BOTH),
)


#: None was asked for.
GCS: tuple[Goal, ...] = ()


def targets(
    server: str,
    case: tuple[int, int],
    series: Sequence[Series],
    of: Sequence[Goal] = GOALS,
) -> Iterator[Target]:
    """Yield what came of the goals of a case whose first series is ours.

    Args:
        server: where it was.
        case: files and bytes of each, in full: a share of it has the same goals.
        series: of this case, all by the same rounds.
        of: the goals.
    """
    ours, *peers = series
    for goal in of:
        if goal.case == case and server in goal.servers:
            target = goal.target(ours.case, ours, peers)
            if target:
                yield target
