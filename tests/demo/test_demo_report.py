"""The demo's table and picture show what the play left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from matplotlib import colors, image

from destination.demo.diary import Diary
from destination.demo.picture import KILL_COLOUR, draw
from destination.demo.report import table
from destination.demo.scenario import MIB, Kill, Scenario
from destination.demo.verdict import Arrival, Verdict
from destination.demo.workspace import METRICS, Workspace
from uploader import Spool
from uploader.model import InFlight

if TYPE_CHECKING:
    from pathlib import Path

CUT = InFlight("id", "digits/ckpt/ep1.npz", 5 * MIB, 3 * MIB, 3, 5, 1)
GOOD = Verdict(
    [
        Arrival("ckpt/ep1.npz", 1, link=False, size=3 * MIB, fault=None),
        Arrival("ckpt/ep2.npz", 2, link=False, size=3 * MIB, fault="is missing"),
        Arrival("ckpt/latest", 2, link=True, size=0, fault=None),
    ],
    ["ckpt/ep2.npz is missing"],
)


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """A play of two sessions with one kill of both and one of the agent, at its end."""
    workspace = Workspace(tmp_path)
    for session, epoch in ((1, 0), (2, 1)):
        Diary(workspace.diary).write("started", session=session, epoch=epoch, time=0)
    lines = [
        json.dumps({"data": {"loss": 2.0 / (1 + i), "session": 1 + i // 5, "time": 100.0 + i}})
        for i in range(10)
    ]
    workspace.arrived(METRICS).parent.mkdir(parents=True)
    workspace.arrived(METRICS).write_text("\n".join(lines) + "\n")
    kills = [Kill(102.5, False, ()), Kill(104.5, True, (CUT,))]
    Spool(workspace.spool, workspace.url, producer=False).close()
    return Scenario(workspace, print, kills=kills, started=100.0)


def test_the_table_counts_what_was_logged_and_what_arrived(scenario: Scenario) -> None:
    """Checkpoints are one row with their sum; what is at fault is not counted as arrived."""
    text = table(scenario, GOOD).splitlines()
    assert text[2].split() == "ckpt/ep1.npz ... ckpt/ep2.npz 3 2 1 of 2 6.0 MiB".split()  # noqa: SIM905
    assert text[3].split() == "ckpt/latest 2 1 1 of 1 link".split()  # noqa: SIM905


def test_the_table_tells_each_kill_and_where_training_went_on(scenario: Scenario) -> None:
    """A kill has its second, its victims, what it cut off, and the epoch of the resumption."""
    *_, agent, both, _ = table(scenario, GOOD).split("\n")
    assert agent.split("  ")[0] == "2.5 s"
    assert "nothing" in agent
    assert "without a pause" in agent
    assert "trainer and agent" in both
    assert max(map(len, table(scenario, GOOD).splitlines())) <= 80
    assert "ep1.npz at 3 of 5 MiB" in both
    assert "from latest, epoch 1" in both


def test_the_picture_is_a_png_with_the_kills_in_it(scenario: Scenario, tmp_path: Path) -> None:
    """The kills' colour is in the picture with two kills, and not in one without any."""
    path = tmp_path / "picture.png"
    draw(scenario, GOOD, path)
    marked = _pixels_of_kills(path)
    scenario.kills.clear()
    draw(scenario, GOOD, path)
    assert marked > 500
    assert _pixels_of_kills(path) == 0


def _pixels_of_kills(path: Path) -> int:
    pixels = image.imread(path)[:, :, :3]
    return int((abs(pixels - colors.to_rgb(KILL_COLOUR)).max(axis=2) < 0.02).sum())
