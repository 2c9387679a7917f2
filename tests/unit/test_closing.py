"""Hold the end of a run: bounded, never an error, and nothing left unsaid."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from destination import Event, FileLogger, Logger
from uploader import Spool

Train = Callable[..., Any]  #: the fixture that makes a training process


@pytest.mark.parametrize("timeout", [None, 0.2])
def test_what_is_left_is_named_and_the_printed_command_uploads_it(
    train: Train, timeout: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody uploads here: closing returns in its time, and the line it prints does the job."""
    training = train(close_timeout=timeout)
    training.log("a b", "x")
    training.log("c", "x")
    began = time.monotonic()
    with pytest.warns(RuntimeWarning, match=r"2 artifacts not uploaded to file:.* yet: a b, c\."):
        training.close()
    assert time.monotonic() - began < 20
    [line] = [line for line in capsys.readouterr().err.splitlines() if "drain" in line]
    _, _, command = line.partition(":")
    assert shlex.split(command) == ["uploader", "drain", "--spool", str(training.spool_path)]
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(command, shell=True, check=True, timeout=50, env=environment)
    assert (training.remote / "a b").read_text() == (training.remote / "c").read_text() == "x"


def test_closing_says_that_the_agent_goes_on(
    train: Train, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a timeout nothing waits; what is not there yet is the agent's, and it arrives."""
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setenv("UPLOADER_FAULTS", f"hold={hold},only=put")
    training = train(agent="auto")
    training.event(Event.INIT)
    training.wait_for_agent()
    training.log("late", "x")
    with pytest.warns(RuntimeWarning, match=r"yet: late\. The agent \(process \d+\) goes on"):
        training.close()
    hold.unlink()
    with Spool(training.spool_path, producer=False) as spool:
        training.wait_until(lambda: not spool.pending())
    assert (training.remote / "late").read_text() == "x"


def test_a_long_list_is_cut(train: Train) -> None:
    """A warning stays readable: 20 names, and how many more."""
    training = train()
    for n in range(23):
        training.log(f"n{n}", "x")
    with pytest.warns(RuntimeWarning, match=r"23 artifacts .* n19 and 3 more\."):
        training.close()


def test_artifacts_are_accepted_until_post_close(train: Train, tmp_path: pathlib.Path) -> None:
    """A FileLogger logs its last in `close()`, after this destination's own `close()`."""
    training = train()
    file_logger = FileLogger(
        str(tmp_path / "log"), "log", capture_stdout=False, capture_stderr=False
    )
    logger = Logger(training.state, [training.destination, file_logger])
    for destination in logger.destinations:
        destination.run_event(Event.INIT, training.state, logger)
    logger.data_fit({"loss": 1})
    for destination in logger.destinations:
        destination.close(training.state, logger)
    assert training.drain() == 0
    for destination in logger.destinations:
        destination.post_close()
    assert (training.remote / "log").read_text() == '[FIT][batch=0]: { "loss": 1, }\n'


def test_after_post_close_logging_is_a_runtime_error_until_another_init(
    train: Train,
) -> None:
    """An artifact that comes too late is not lost in silence; a second fit is welcome."""
    training = train()
    training.event(Event.INIT)
    training.close()
    with pytest.raises(RuntimeError, match="closed"):
        training.log("a", "x")
    training.event(Event.INIT)
    training.log("a", "x")
    assert training.names() == ["a"]


def test_closing_twice_is_harmless(train: Train) -> None:
    """B14: also where nothing was ever logged; no spool is made for that."""
    training = train()
    training.close()
    training.close()
    assert not training.spool_path.exists()
    training.event(Event.INIT)
    training.close()
    training.close()


def test_the_spool_is_let_go_also_where_warnings_are_errors(
    train: Train,
) -> None:
    """Its hold on the agent ends with the run."""
    training = train()
    training.log("a", "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            training.close()
    with pytest.raises(RuntimeError, match="closed"):
        training.log("b", "x")
