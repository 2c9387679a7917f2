"""Draws the demo: the loss and the uploads against time, with the kills marked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from destination.demo.diary import Diary
from destination.demo.workspace import METRICS
from uploader import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from destination.demo.scenario import Scenario
    from destination.demo.verdict import Verdict
    from uploader import Upload

mpl.use("Agg")  # no window: a node has none

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator

#: what a line of the metrics holds for a batch
KEYS = ("session", "time", "loss")
#: batches over which the thick line is averaged
SMOOTHING = 15
#: one colour for each session of the trainer, one for kills (Okabe and Ito: told apart by all eyes)
SESSION_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9")
KILL_COLOUR = "#D55E00"
#: what was interrupted by a kill is drawn in this, what went through in grey
RESUMED_COLOUR, THROUGH_COLOUR = "#E69F00", "#999999"


def draw(scenario: Scenario, verdict: Verdict, path: Path) -> None:
    """Draw the play as it is told by the metrics at the destination and by the spool's history."""
    figure, (losses, uploads) = plt.subplots(
        2, 1, figsize=(11, 7.5), sharex=True, height_ratios=(3, 2), layout="constrained"
    )
    figure.suptitle(_title(scenario, verdict), fontsize=13, fontweight="bold")
    _draw_losses(losses, scenario)
    _draw_uploads(uploads, scenario)
    for axes in (losses, uploads):
        for kill in scenario.kills:
            style = "-" if kill.trainer_too else "--"
            axes.axvline(kill.time - scenario.started, color=KILL_COLOUR, lw=1.4, ls=style)
    _label_kills(losses, scenario)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _title(scenario: Scenario, verdict: Verdict) -> str:
    hits = sum(bool(kill.cut) for kill in scenario.kills)
    result = "everything arrived" if verdict.good else f"{len(verdict.faults)} faults"
    return f"{scenario.epochs} epochs of training, SIGKILL in mid-upload {hits} times: {result}"


def _draw_losses(axes: Any, scenario: Scenario) -> None:
    sessions, times, losses = _read_losses(scenario)
    smooth = _smooth(losses)
    starts = {e["session"]: e["epoch"] for e in Diary(scenario.workspace.diary).read("started")}
    for session in np.unique(sessions):
        chosen = sessions == session
        colour = SESSION_COLOURS[(session - 1) % len(SESSION_COLOURS)]
        start = f"resumed after epoch {starts[session]}" if starts[session] else "from nothing"
        label = f"trainer {session}, {start}"
        axes.plot(times[chosen], losses[chosen], color=colour, lw=0.7, alpha=0.35)
        axes.plot(times[chosen], smooth[chosen], color=colour, lw=2.2, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"training loss (log scale)\nthick: mean of {SMOOTHING} batches")
    axes.legend(loc="lower left", fontsize=9)
    axes.grid(alpha=0.25)


def _read_losses(scenario: Scenario) -> tuple[Any, Any, Any]:
    """Return session, second and loss of each batch, from the metrics at the destination."""
    text = scenario.workspace.arrived(METRICS).read_text(encoding="utf-8")
    lines = [json.loads(line)["data"] for line in text.splitlines()]
    batches = [line for line in lines if "loss" in line]
    sessions, times, losses = (np.array([b[key] for b in batches]) for key in KEYS)
    return sessions, times - scenario.started, losses


def _draw_uploads(axes: Any, scenario: Scenario) -> None:
    with Spool(scenario.workspace.spool, producer=False) as spool:
        files = spool.uploads(state="done", name_glob="*.npz")
    names: list[str] = []
    for upload in files:
        names.append(upload.name.rpartition("/")[2])
        _draw_upload(axes, scenario, upload, len(names) - 1)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_ylabel("checkpoint: logged to arrived")
    axes.set_xlabel("seconds since the start")
    axes.grid(alpha=0.25, axis="x")
    axes.legend(handles=_upload_legend(), loc="lower left", fontsize=9)


def _draw_upload(axes: Any, scenario: Scenario, upload: Upload, row: int) -> None:
    begin = upload.enqueued_at - scenario.started
    end = (upload.finished_at or upload.enqueued_at) - scenario.started
    cut = any(upload.id == one.id for kill in scenario.kills for one in kill.cut)
    colour = RESUMED_COLOUR if cut else THROUGH_COLOUR
    axes.plot([begin, end], [row, row], color=colour, lw=6, solid_capstyle="butt")
    axes.plot([end], [row], marker="o", ms=5, color="black", ls="none")
    axes.annotate(
        f"{end - begin:.1f} s", (end, row), (7, -3), textcoords="offset points", fontsize=8
    )


def _upload_legend() -> list[Any]:
    line = plt.Line2D
    return [
        line([], [], color=THROUGH_COLOUR, lw=6, label="went through"),
        line([], [], color=RESUMED_COLOUR, lw=6, label="cut off by a kill, finished later"),
        line([], [], color="black", marker="o", ls="none", label="at the destination"),
    ]


def _label_kills(axes: Any, scenario: Scenario) -> None:
    for kill in scenario.kills:
        axes.annotate(
            f"SIGKILL\n{kill.whom}",
            (kill.time - scenario.started, 1),
            (4, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=8.5,
            color=KILL_COLOUR,
        )


def _smooth(values: Any) -> Any:
    """Return for each point the mean of the last `SMOOTHING` values, or of as many as there are."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - SMOOTHING, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)
