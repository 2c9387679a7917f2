"""Draws what the benchmark s3 measured: throughput and CPU, ours among the others.

    scripts/bench s3 --json > x.json
    scripts/bench picture x.json -o .github/bench.png

- Several files are one picture, as where each server was measured alone; what is in two of them is
  taken from the last.
- Everybody has the same line in all charts, so that names stand only once; who had no turn has no
  bar.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure

from tests.bench import uploads
from tests.bench.peers import TOOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, DPI = 9.0, 160  #: inches, dots per inch: finer than the 900 pixels at which it is read
LINE = 0.19  #: inches for a bar
ABOVE, BELOW = 0.72, 0.62  #: inches for the title, and for what was measured where
HEAD, GAP = 0.52, 0.12  #: inches above each row of charts, and below it
LEFT, RIGHT, BETWEEN = 1.52, 0.12, 0.2  #: inches for names, beside the last chart, between two
ROOM = 1.3  #: width of a chart over its longest bar: for the figure beside that

CUT = 3.0  #: a cost is cut at this many times the median of its chart, with a mark

SIZE = 8.5  #: points; 12 pixels where it is read

TITLE = "Uploading to S3: a crash-safe spool's drain, and tools that keep no record"

OURS, THEIRS, TEXT, FAINT = "#d9480f", "#adb5bd", "#212529", "#6c757d"

TITLES = {uploads.OURS: "uploader drain", **{tool.name: tool.title for tool in TOOLS}}


class Chart(NamedTuple):
    """A row of charts, one for each set of files."""

    server: str
    title: str
    figure: str | None  #: of a series; None: its throughput


CHARTS = (
    Chart("sink", "Throughput by TLS to an endpoint that only answers: more is better", None),
    Chart("sink", "CPU that the client takes for it: less is better", "cpu_seconds_per_gib"),
    Chart("seaweed", "Throughput to SeaweedFS on the same cores: more is better", None),
)

Series = dict[str, Any]  #: as in the JSON


def main(arguments: Sequence[str]) -> int:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/bench picture", description=__doc__)
    parser.add_argument("json", nargs="+", type=Path, help="what scripts/bench s3 --json printed")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a PNG")
    given = parser.parse_args(arguments)
    sheet = sheet_of([json.loads(path.read_text()) for path in given.json])
    sheet.figure.savefig(given.output, dpi=DPI, facecolor="white", pil_kwargs={"optimize": True})
    return 0


def sheet_of(runs: Sequence[dict[str, Any]]) -> Sheet:
    """Draw the runs that JSON was printed of."""
    series = _series_of(runs)
    charts = [chart for chart in CHARTS if any(server == chart.server for server, _ in series)]
    works = list(dict.fromkeys(work for _, work in series))
    names = [name for name in TITLES if any(name in ones for ones in series.values())]
    sheet = Sheet(len(charts), len(works), names)
    for row, chart in enumerate(charts):
        sheet.write_title(row, chart.title)
        for column, work in enumerate(works):
            ones = series.get((chart.server, work), {})
            values = _values(chart, ones)
            sheet.draw_chart(row, column, _title(work, chart), values, _longest(chart, values))
    sheet.write_around(runs[-1])
    return sheet


class Sheet:
    """Where everything is, in inches from the top left."""

    def __init__(self, rows: int, columns: int, names: Sequence[str]) -> None:
        self._names, self._columns = names, columns
        self._chart = len(names) * LINE
        self._height = ABOVE + rows * (HEAD + self._chart + GAP) + BELOW
        self._wide = (WIDTH - LEFT - RIGHT - (columns - 1) * BETWEEN) / columns
        self.figure = Figure(figsize=(WIDTH, self._height))

    def write_title(self, row: int, title: str) -> None:
        """Write what a row of charts shows."""
        self._write(0.15, self._top(row) - 0.42, title, fontsize=10, weight="bold")

    def draw_chart(
        self,
        row: int,
        column: int,
        title: str,
        values: dict[str, tuple[float, str]],
        longest: float,
    ) -> None:
        """Draw a bar for everybody that has a value, and the value beside it."""
        axes = self._axes(row, column)
        axes.set_xlim(0, ROOM * longest)
        self._write(self._left(column), self._top(row) - 0.19, title, color=FAINT)
        for line, name in enumerate(self._names):
            ours = name == uploads.OURS
            how: Any = {"color": OURS if ours else TEXT, "weight": "bold" if ours else "normal"}
            if column == 0:
                y = self._top(row) + (line + 0.5) * LINE
                self._write(LEFT - 0.08, y, TITLES[name], ha="right", va="center", **how)
            if name in values:
                value, text = values[name]
                end = min(value, longest)
                axes.barh(line, end, height=0.72, color=OURS if ours else THEIRS)
                how = {"fontsize": SIZE, "va": "center", **how}
                axes.annotate(text, (end, line), (3, 0), textcoords="offset points", **how)
                if value > longest:
                    cut = (0.92 * longest, 0.95 * longest)
                    axes.plot(cut, (line + 0.5, line - 0.5), color="white", linewidth=2.5)

    def _axes(self, row: int, column: int) -> Any:
        axes = self.figure.add_axes(
            (
                self._left(column) / WIDTH,
                1 - (self._top(row) + self._chart) / self._height,
                self._wide / WIDTH,
                self._chart / self._height,
            )
        )
        axes.set_ylim(len(self._names) - 0.5, -0.5)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_color(FAINT)
        return axes

    def write_around(self, run: dict[str, Any]) -> None:
        """Write the title above, and below it all that one must know to judge the figures."""
        self._write(0.15, 0.1, TITLE, fontsize=12.5, weight="bold")
        self._write(0.15, 0.37, _how(run), color=FAINT)
        for line, text in enumerate(_where(run)):
            self._write(0.15, self._height - BELOW + 0.15 + 0.19 * line, text, color=FAINT)

    def _top(self, row: int) -> float:
        return ABOVE + row * (HEAD + self._chart + GAP) + HEAD

    def _left(self, column: int) -> float:
        return LEFT + column * (self._wide + BETWEEN)

    def _write(self, x: float, y: float, text: str, **how: Any) -> None:
        how = {"fontsize": SIZE, "va": "top", "color": TEXT, **how}
        self.figure.text(x / WIDTH, 1 - y / self._height, text, **how)


def _how(run: dict[str, Any]) -> str:
    counts = sorted({len(one["seconds"]) for one in run["results"][0]["series"]})
    rounds = " or ".join(map(str, counts))
    return f"Medians of {rounds} rounds in turns, start-up included; files in the page cache"


def _where(run: dict[str, Any]) -> tuple[str, str]:
    machine, (result, *_) = run["machine"], run["results"]
    hardware = f"{machine['cores']} cores ({machine['processor']}), client and server on them"
    system = f"Linux {machine['kernel']}, {machine['file system']}, Python {machine['python']}"
    what = f"{machine['date']}, uploader {machine['uploader']}, scripts/bench {result['name']}"
    return f"{hardware}; {system}", what


def _series_of(runs: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Series]]:
    """Return everybody's series by server and work."""
    series: dict[tuple[str, str], dict[str, Series]] = {}
    for run in runs:
        for one in (one for result in run["results"] for one in result["series"]):
            server, _, work = one["case"].partition(": ")
            series.setdefault((server, work), {})[one["name"]] = one
    return series


def _title(work: str, chart: Chart) -> str:
    if chart.figure:
        return f"{work}, CPU s per GiB"
    return f"{work}, {'files' if _is_small(work) else 'MiB'} per second"


def _values(chart: Chart, ones: dict[str, Series]) -> dict[str, tuple[float, str]]:
    """Return everybody's value, and the text for it."""
    values = {}
    for name, one in ones.items():
        _, _, work = one["case"].partition(": ")
        throughput = "files_per_second" if _is_small(work) else "mib_per_second"
        value = one[chart.figure or throughput]
        values[name] = (value, f"{value:.{0 if value >= 10 else 2}f}")
    return values


def _longest(chart: Chart, values: dict[str, tuple[float, str]]) -> float:
    """Return where bars end. A cost far above most is cut; nobody's speed is."""
    found = [value for value, _ in values.values()] or [1.0]
    return min(max(found), CUT * statistics.median(found)) if chart.figure else max(found)


def _is_small(work: str) -> bool:
    return work.endswith("KiB")
