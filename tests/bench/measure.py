"""Measures peers in turns, and says what came out: medians, 99th percentiles, ratios, targets.

- Peers take turns within each round, in another order each time: what else the machine does
  meanwhile falls on all of them, and nobody always comes after the same neighbour.
- A ratio or a difference is taken within each round, and then the median of those: a slow minute
  slows both sides of a pair, where it would move one of two medians.
- Only `run` of a peer is on the clock; `prepare` and `clean` are not. A run that returns a `Cost`
  took its own time, and says what it took besides.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench.metering import CommandFailedError, Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

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


@dataclass(frozen=True)
class Work:
    """What each run of a case has to do."""

    files: int
    size: int  #: bytes of each

    @property
    def bytes(self) -> int:
        """Of all files."""
        return self.files * self.size


@dataclass
class Series:
    """The times of one peer in order of the rounds, and what they cost where that was measured."""

    case: str
    name: str
    work: Work | None = None
    seconds: list[float] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)

    @property
    def median(self) -> float:
        """In seconds."""
        return statistics.median(self.seconds)

    def percentile(self, share: float) -> float:
        """In seconds; with no more than 100 rounds, the 99th is the slowest of them."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def rates(self) -> dict[str, float]:
        """What the median run moved, what it cost, and the memory of the run that took most."""
        if not self.work or not self.costs:
            return {}
        cpu = statistics.median(cost.cpu_seconds for cost in self.costs)
        return {
            "mib_per_second": self.work.bytes / MIB / self.median,
            "files_per_second": self.work.files / self.median,
            "cpu_seconds_per_gib": cpu / self.work.bytes * GIB,
            "peak_mib": max(cost.peak_bytes for cost in self.costs) / MIB,
        }

    def take(self, outcome: float | Cost) -> None:
        """Add a run."""
        if isinstance(outcome, Cost):
            self.costs.append(outcome)
        self.seconds.append(outcome.seconds if isinstance(outcome, Cost) else outcome)

    def ratio_to(self, other: Series) -> float:
        """Median of the ratios within each round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))

    def cpu_ratio_to(self, other: Series) -> float:
        """Do so for CPU."""
        pairs = zip(self.costs, other.costs, strict=True)
        return statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in pairs)

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
    absent: dict[str, str] = field(default_factory=dict)  #: who had no turn, and why

    def add(self, series: Sequence[Series]) -> None:
        """Take the series of one case, the first of which is what the others are compared to."""
        self.series += series
        self.baseline[series[0].case] = series[0]

    def as_json(self) -> dict[str, Any]:
        """Return the result with every single time, in seconds."""
        return {
            "name": self.name,
            "series": [
                self._figures(one)
                | {"seconds": one.seconds, "costs": [asdict(cost) for cost in one.costs]}
                for one in self.series
            ],
            "targets": [asdict(target) | {"met": target.met} for target in self.targets],
            "notes": self.notes,
            "absent": self.absent,
        }

    def as_text(self) -> str:
        """Return the result as a table for people."""
        costs = any(one.costs for one in self.series)
        layout = _ROW + _COST_ROW if costs else _ROW
        lines = [f"== {self.name}", layout.format(*_HEAD, *(_COST_HEAD if costs else ()))]
        lines += [layout.format(*row) for row in self._rows()]
        lines += [*self._absences(), *self.notes]
        lines += [
            f"{'reached' if target.met else 'MISSED '} {target.what}: "
            f"{target.value:.3g} {target.unit} (at most {target.limit:g} {target.unit})"
            for target in self.targets
        ]
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """Return the table and what belongs to it, as a document takes it."""
        costs = any(one.costs for one in self.series)
        head = [*_HEAD, *(_COST_HEAD if costs else ())]
        rule = ["---", "---", *["---:"] * (len(head) - 2)]
        table = [f"| {' | '.join(row)} |" for row in (head, rule, *self._rows())]
        told = [f"- {line}" for line in (*self._absences(), *self.notes)]
        return "\n".join([f"**{self.name}**", "", *table, "", *told])

    def _rows(self) -> Iterator[list[str]]:
        case = None
        for one in self.series:
            figures = self._figures(one)
            yield [
                one.case if one.case != case else "",
                one.name,
                _time(figures["median"]),
                _time(figures["p99"]),
                f"{figures['ratio']:.2f} x",
                ("-" if figures["over"] < 0 else "+") + _time(abs(figures["over"])),
                str(len(one.seconds)),
                *(_cost_cells(figures) if one.costs else ()),
            ]
            case = one.case

    def _absences(self) -> list[str]:
        return [f"{name}: absent, {why}" for name, why in self.absent.items()]

    def _figures(self, one: Series) -> dict[str, Any]:
        baseline = self.baseline[one.case]
        return {
            "case": one.case,
            "name": one.name,
            "median": one.median,
            "p99": one.percentile(0.99),
            "ratio": one.ratio_to(baseline),
            "over": one.over(baseline),
            **one.rates,
        }


_HEAD = ("case", "who", "median", "p99", "ratio", "over", "rounds")
_ROW = "{:<32} {:<24} {:>10} {:>10} {:>8} {:>11} {:>7}"
_COST_HEAD = ("MiB/s", "files/s", "CPU s/GiB", "peak MiB")
_COST_ROW = " {:>7} {:>8} {:>10} {:>9}"


def take_turns(
    case: str,
    peers: Sequence[Peer],
    rounds: int,
    work: Work | None = None,
    absent: dict[str, str] | None = None,
) -> list[Series]:
    """Run each peer once a round; return their times. One round before them is not counted.

    Args:
        case: what they all do.
        peers: the first is what the others are compared to.
        rounds: that are counted.
        work: how much it is.
        absent: takes those whose command failed, and why; they have no further turn. Without it,
            and for the first, a failure is raised.
    """
    series = [Series(case, peer.name, work) for peer in peers]
    orders = random.Random(SEED)
    failed = set()
    for number in range(-1, rounds):
        for place in orders.sample(range(len(peers)), len(peers)):
            if place in failed:
                continue
            try:
                outcome = _timed(peers[place])
            except CommandFailedError as error:
                if absent is None or place == 0:
                    raise
                absent[f"{peers[place].name}, {case}"] = error.short
                failed.add(place)
                continue
            if number >= 0:
                series[place].take(outcome)
    return [one for place, one in enumerate(series) if place not in failed]


def _timed(peer: Peer) -> float | Cost:
    peer.prepare()
    try:
        begun = time.perf_counter()
        outcome = peer.run()
        if isinstance(outcome, Cost):
            return outcome
        return (time.perf_counter() - begun) / peer.per
    finally:
        peer.clean()


def _cost_cells(figures: dict[str, Any]) -> list[str]:
    return [
        f"{figures['mib_per_second']:.0f}",
        f"{figures['files_per_second']:.{0 if figures['files_per_second'] >= 10 else 2}f}",
        f"{figures['cpu_seconds_per_gib']:.2f}",
        f"{figures['peak_mib']:.0f}" if figures["peak_mib"] else "-",
    ]


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
