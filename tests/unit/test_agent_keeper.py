"""Hold when a training process starts an agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from destination import Event
from uploader import agent_owner

Train = Callable[..., Any]  #: the fixture that makes a training process


def test_an_external_agent_is_not_started(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploading is left to somebody else, at every call and event."""
    monkeypatch.setattr("uploader.start_agent", lambda *_, **__: pytest.fail("started"))
    monkeypatch.setattr("destination.agent_keeper.LOOK_INTERVAL", 0.0)
    training = train(agent="external")
    training.event(Event.INIT)
    training.log("a", "x")
    training.event(Event.BATCH_END)
    assert agent_owner(training.spool_path) is None


def test_an_agent_that_is_gone_is_started_again_while_work_is_pending(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not more often than the interval says, and not for an empty spool."""
    starts: list[int] = []
    monkeypatch.setattr("uploader.start_agent", lambda _path, workers: starts.append(workers))
    clock = [1000.0]
    monkeypatch.setattr("destination.agent_keeper.time.monotonic", lambda: clock[0])
    training = train(agent="auto", num_concurrent_uploads=2)
    training.event(Event.INIT)
    assert starts == [2]
    clock[0] += 11
    training.event(Event.BATCH_END)
    assert starts == [2]  # nothing to upload
    training.log("a", "x")
    training.event(Event.BATCH_END)
    assert starts == [2]  # looked a moment ago
    clock[0] += 11
    training.event(Event.BATCH_END)
    assert starts == [2, 2]
    clock[0] += 11
    training.log("b", "x")
    assert starts == [2, 2, 2]  # a log call looks as well


def test_an_agent_that_cannot_be_started_does_not_end_the_training(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The artifact is durable; the warning says what uploads it."""

    def fail(*_: Any, **__: Any) -> bool:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("uploader.start_agent", fail)
    training = train(agent="auto")
    with pytest.warns(RuntimeWarning, match=r"temporarily unavailable.*uploader drain --spool"):
        training.log("a", "x")
    assert training.names() == ["a"]
