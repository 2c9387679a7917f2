"""Hold what `ObjectStoreLogger.flush` promises to a run that has seconds left."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from destination import Event

Train = Callable[..., Any]  #: the fixture that makes a training process


def test_flush_waits_until_all_has_arrived(train: Train) -> None:
    """By an agent that it starts where none runs, though one was started a moment ago."""
    training = train(agent="auto")
    training.event(Event.INIT)
    training.wait_for_agent()
    training.end_agent(by=signal.SIGKILL)
    training.log("last", "weights")
    training.link("last", "latest")
    assert training.destination.flush(30) is True
    assert (training.remote / "latest").read_text() == "weights"


def test_flush_gives_up_in_its_time(train: Train) -> None:
    """False, and no error: it is all in the spool."""
    training = train()
    training.log("a", "x")
    begun = time.monotonic()
    assert training.destination.flush(0.2) is False
    assert training.destination.flush(0) is False
    assert 0.2 <= time.monotonic() - begun < 20
    assert training.drain() == 0
    assert training.destination.flush(0) is True


def test_flush_is_about_this_run_and_rank(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rank flushes its own."""
    training = train()
    training.event(Event.INIT)
    monkeypatch.setenv("RANK", "1")
    training.log("of-rank-1", "x")
    assert not training.destination.flush(0)
    monkeypatch.setenv("RANK", "0")
    assert training.destination.flush(0)


def test_flush_waits_for_what_was_logged_before_the_run_had_a_name(train: Train) -> None:
    """A logger may be used before INIT, which is when the name is learned."""
    training = train(run_name=None)
    training.log("early", "x")
    training.state.run_name = "named"
    training.event(Event.INIT)
    assert training.destination.flush(0) is False
    assert training.drain() == 0
    assert training.destination.flush(0) is True


def test_flush_says_that_an_upload_failed(train: Train) -> None:
    """False each time, since it has not arrived; a warning once."""
    training = train()
    training.event(Event.INIT)
    training.fail("a/b")
    with pytest.warns(RuntimeWarning, match="'a/b' was not uploaded"):
        assert training.destination.flush(5) is False
    assert training.destination.flush(5) is False


def test_flush_raises_a_failure_only_if_asked_to(train: Train) -> None:
    """As the events do."""
    training = train(on_upload_failure="raise")
    training.event(Event.INIT)
    training.fail("a/b")
    with pytest.raises(RuntimeError, match="'a/b' was not uploaded"):
        training.destination.flush(5)


def test_flush_refuses_what_makes_no_sense(train: Train) -> None:
    """A negative time; a logger that is closed."""
    training = train()
    for timeout in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="timeout must be 0 or more seconds"):
            training.destination.flush(timeout)
    training.event(Event.INIT)
    training.close()
    with pytest.raises(RuntimeError, match="closed"):
        training.destination.flush(1)


#: The recipe of the README: a run that is told to end saves once more, and waits for it.
PREEMPTED = """
import pathlib, signal, sys, time
from destination import Event, Logger, LogLevel, ObjectStoreLogger
from destination.integrations import RunState

remote, spool, source = sys.argv[1:]
state = RunState("run")
uploads = ObjectStoreLogger(remote, spool=spool)
logger = Logger(state, [uploads])
uploads.run_event(Event.INIT, state, logger)

preempted = False

def on_sigterm(number, frame):
    global preempted
    preempted = True  # no more here: it may have cut into a log call

signal.signal(signal.SIGTERM, on_sigterm)
print("training", flush=True)
while not preempted:
    time.sleep(0.01)  # a batch

pathlib.Path(source).write_text("weights")
logger.file_artifact(LogLevel.EPOCH, "ckpt/last.pt", source, overwrite=True)
logger.symlink_artifact(LogLevel.EPOCH, "ckpt/last.pt", "ckpt/latest", overwrite=True)
arrived = uploads.flush(timeout=20)
uploads.close(state, logger)
uploads.post_close()
sys.exit(0 if arrived else 75)
"""


def test_a_run_that_is_told_to_end_saves_once_more(train: Train) -> None:
    """The recipe for a SIGTERM: a flag in the handler; save, log and flush in the loop."""
    training = train()
    command = [sys.executable, "-c", PREEMPTED, training.remote.as_uri(), str(training.spool_path)]
    with subprocess.Popen(
        [*command, str(training.folder / "source")], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == b"training\n"
        trainer.terminate()
        assert trainer.wait(40) == 0
    remote: pathlib.Path = training.remote / "run/ckpt"
    assert (remote / "latest").read_text() == "weights"
