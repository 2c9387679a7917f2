"""The demo plays to its end, and its exit code says what came of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from destination.demo.__main__ import main
from destination.demo.diary import Diary
from destination.demo.processes import DemoError
from destination.demo.scenario import KILLS, Scenario
from destination.demo.workspace import METRICS
from uploader import Spool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(270)  # under a minute on two free cores; the demo itself gives up before this
def test_the_demo_survives_its_kills_and_all_arrives(tmp_path: Path) -> None:
    """`uploader demo` kills as often as it says, resumes, and ends with exit code 0."""
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-m", "uploader", "demo"]
    arguments = ["--dir", str(tmp_path / "work"), "--picture", str(picture)]
    result = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("SIGKILL to ") == len(KILLS)
    assert "goes on after epoch" in result.stdout
    assert "GOOD: " in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def _play_that_loses_a_checkpoint(scenario: Scenario) -> None:
    workspace = scenario.workspace
    for name in ("ckpt/ep1.npz", METRICS):
        Diary(workspace.diary).write("begun", name=name, content="")
        Diary(workspace.diary).write("returned", name=name, content="")
    Diary(workspace.diary).write("started", session=1, epoch=0)
    workspace.arrived(METRICS).parent.mkdir(parents=True)
    workspace.arrived(METRICS).write_text('{"data": {"loss": 1.0, "session": 1, "time": 0}}\n')
    Spool(workspace.spool, workspace.url, producer=False).close()


def test_a_lost_checkpoint_ends_the_demo_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is named, the files are kept to be looked at, and the exit code is 1."""
    monkeypatch.setattr(Scenario, "play", _play_that_loses_a_checkpoint)
    (tmp_path / "work").mkdir()
    assert main(["--dir", str(tmp_path / "work"), "--picture", str(tmp_path / "p.png")]) == 1
    said = capsys.readouterr().out
    assert "FAULT: ckpt/ep1.npz is missing" in said
    assert "NOT GOOD" in said
    assert f"The files are in {tmp_path / 'work'}" in said


def test_a_play_that_breaks_off_ends_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A demo that could not be played tells why on stderr."""

    def break_off(_: Scenario) -> None:
        raise DemoError("gave up waiting for the trainer's end")

    monkeypatch.setattr(Scenario, "play", break_off)
    assert main(["--dir", str(tmp_path / "work")]) == 1
    assert "BROKEN OFF: gave up waiting for the trainer's end" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """The demo does not mix its files with somebody's."""
    (tmp_path / "theirs").touch()
    with pytest.raises(SystemExit, match="2"):
        main(["--dir", str(tmp_path)])
