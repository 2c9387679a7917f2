"""Writes the table of a demo: what was logged, what arrived, who was killed, where it went on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination.demo.diary import Diary
from destination.demo.scenario import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination.demo.scenario import Scenario
    from destination.demo.verdict import Arrival, Verdict


def table(scenario: Scenario, verdict: Verdict) -> str:
    """Return the two tables, of the artifacts and of the kills."""
    return "\n".join([*_artifacts(verdict), "", *_kills(scenario), ""])


def _artifacts(verdict: Verdict) -> list[str]:
    checkpoints = [one for one in verdict.arrivals if one.name.endswith(".npz")]
    others = [one for one in verdict.arrivals if one not in checkpoints]
    groups = [(one.name, [one]) for one in others]
    if checkpoints:
        groups.insert(0, (f"{checkpoints[0].name} ... {checkpoints[-1].name}", checkpoints))
    rows = [_row(label, arrivals) for label, arrivals in groups]
    return _columns([("artifact", "log calls", "artifacts", "arrived", "size"), *rows])


def _row(label: str, arrivals: Sequence[Arrival]) -> tuple[str, ...]:
    right = sum(one.fault is None for one in arrivals)
    size = sum(one.size for one in arrivals)
    return (
        label,
        str(sum(one.logged for one in arrivals)),
        str(len(arrivals)),
        f"{right} of {len(arrivals)}",
        "link" if all(one.link for one in arrivals) else f"{size / MIB:.1f} MiB",
    )


def _kills(scenario: Scenario) -> list[str]:
    rows = [("SIGKILL at", "killed", "in mid-upload", "training went on")]
    starts = [e for e in Diary(scenario.workspace.diary).read("started") if e["session"] > 1]
    for kill in scenario.kills:
        if kill.trainer_too:
            goes_on = f"from latest, epoch {starts.pop(0)['epoch']}"
        else:
            goes_on = "without a pause"
        second = f"{kill.time - scenario.started:.1f} s"
        rows.append((second, kill.whom, kill.what, goes_on))
    return _columns(rows)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
