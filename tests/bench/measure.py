"""Measures peers in turns, and says what came out: medians, 99th percentiles, ratios, targets.

- Peers take turns within each round, in another order each time: what else the machine does
  meanwhile falls on all of them, and nobody always comes after the same neighbour.
- A ratio or a difference is taken within each round, and then the median of those: a slow minute
  slows both sides of a pair, where it would move one of two medians.
- Only `run` of a peer is on the clock; `prepare` and `clean` are not.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


SEED = 1  #: of the orders in which peers take turns, so that two runs differ by the machine alone


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Peer:
    """One of those that take turns."""

    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    clean: Callable[[], object] = _nothing
    per: int = 1  #: artifacts that one run handles; its time is divided by them


@dataclass
class Series:
    """The times of one peer, in order of the rounds."""

    case: str
    name: str
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """In seconds."""
        return statistics.median(self.seconds)

    def percentile(self, share: float) -> float:
        """In seconds; with no more than 100 rounds, the 99th is the slowest of them."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def ratio_to(self, other: Series) -> float:
        """Median of the ratios within each round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))

    def over(self, other: Series) -> float:
        """Median of the differences within each round, in seconds."""
        return statistics.median(a - b for a, b in zip(self.seconds, other.seconds, strict=True))


@dataclass(frozen=True)
class Target:
    """What must be reached, and what was."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


@dataclass
class Result:
    """What a benchmark found."""

    name: str
    series: list[Series] = field(default_factory=list)
    baseline: dict[str, Series] = field(default_factory=dict)  #: per case
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, series: Sequence[Series]) -> None:
        """Take the series of one case, the first of which is what the others are compared to."""
        self.series += series
        self.baseline[series[0].case] = series[0]

    def as_json(self) -> dict[str, Any]:
        """Return the result with every single time, in seconds."""
        return {
            "name": self.name,
            "series": [self._figures(one) | {"seconds": one.seconds} for one in self.series],
            "targets": [asdict(target) | {"met": target.met} for target in self.targets],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """Return the result as a table for people."""
        lines = [f"== {self.name}", _ROW.format(*_HEAD)]
        case = None
        for one in self.series:
            figures = self._figures(one)
            lines.append(
                _ROW.format(
                    one.case if one.case != case else "",
                    one.name,
                    _time(figures["median"]),
                    _time(figures["p99"]),
                    f"{figures['ratio']:.2f} x",
                    ("-" if figures["over"] < 0 else "+") + _time(abs(figures["over"])),
                    len(one.seconds),
                )
            )
            case = one.case
        lines += self.notes
        lines += [
            f"{'reached' if target.met else 'MISSED '} {target.what}: "
            f"{target.value:.3g} {target.unit} (at most {target.limit:g} {target.unit})"
            for target in self.targets
        ]
        return "\n".join(lines)

    def _figures(self, one: Series) -> dict[str, Any]:
        baseline = self.baseline[one.case]
        return {
            "case": one.case,
            "name": one.name,
            "median": one.median,
            "p99": one.percentile(0.99),
            "ratio": one.ratio_to(baseline),
            "over": one.over(baseline),
        }


_HEAD = ("case", "who", "median", "p99", "ratio", "over", "rounds")
_ROW = "{:<32} {:<24} {:>10} {:>10} {:>8} {:>11} {:>7}"


def take_turns(case: str, peers: Sequence[Peer], rounds: int) -> list[Series]:
    """Run each peer once a round; return their times. One round before them is not counted."""
    series = [Series(case, peer.name) for peer in peers]
    orders = random.Random(SEED)
    for number in range(-1, rounds):
        for place in orders.sample(range(len(peers)), len(peers)):
            seconds = _timed(peers[place])
            if number >= 0:
                series[place].seconds.append(seconds)
    return series


def _timed(peer: Peer) -> float:
    peer.prepare()
    try:
        begun = time.perf_counter()
        peer.run()
        return (time.perf_counter() - begun) / peer.per
    finally:
        peer.clean()


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
