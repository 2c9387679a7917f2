"""Hold the levels, the events and the interface that a training run speaks to."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from destination import Callback, Event, Logger, LoggerDestination, LogLevel, State
from destination.integrations import RunState


@pytest.mark.parametrize("value", [2, "epoch", "EPOCH", "Epoch", LogLevel.EPOCH])
def test_a_level_comes_from_a_level_a_number_or_a_name_in_any_case(value: Any) -> None:
    """Every form that Composer takes gives the same level."""
    assert LogLevel(value) is LogLevel.EPOCH


def test_finer_levels_compare_greater() -> None:
    """FIT is 1, EPOCH 2, BATCH 3, in that order."""
    assert [level.value for level in LogLevel] == [1, 2, 3]
    assert LogLevel.FIT < LogLevel.EPOCH < LogLevel.BATCH


@pytest.mark.parametrize("value", [0, 4, "step", None])
def test_what_is_no_level_is_a_value_error_naming_the_levels(value: Any) -> None:
    """The message lists what would have been a level."""
    with pytest.raises(ValueError, match="FIT=1, EPOCH=2, BATCH=3"):
        LogLevel(value)


def test_every_event_calls_its_own_hook_and_no_other() -> None:
    """`run_event` dispatches by the event's value; each event has exactly one hook."""
    called: list[str] = []

    class Recorder(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name in Event.__members__.values():
                return lambda state, logger: called.append(name)
            return super().__getattribute__(name)

    state = RunState("run")
    for event in Event:
        assert hasattr(Callback, event.value)
        Recorder().run_event(event, state, Logger(state))
    assert called == [event.value for event in Event]


def test_hooks_of_a_plain_callback_do_nothing() -> None:
    """A callback overrides only what it needs."""
    state: State = RunState("run")
    callback = Callback()
    for event in Event:
        callback.run_event(event, state, Logger(state))
    callback.close(state, Logger(state))
    callback.post_close()


def test_an_event_that_does_not_exist_is_a_value_error() -> None:
    """A typing error in an event's name does not pass in silence."""
    state = RunState("run")
    with pytest.raises(ValueError, match="fit_begin"):
        Callback().run_event("fit_begin", state, Logger(state))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "positional", "keyword_only"),
    [
        ("log_data", ["state", "log_level", "data"], []),
        (
            "log_file_artifact",
            ["state", "log_level", "artifact_name", "file_path"],
            ["overwrite"],
        ),
        (
            "log_symlink_artifact",
            [
                "state",
                "log_level",
                "existing_artifact_name",
                "symlink_artifact_name",
                "overwrite",
            ],
            [],
        ),
        (
            "get_file_artifact",
            ["artifact_name", "destination", "chunk_size", "progress_bar"],
            ["overwrite"],
        ),
        ("can_log_file_artifacts", [], []),
    ],
)
def test_the_interface_has_composers_signatures(
    method: str, positional: list[str], keyword_only: list[str]
) -> None:
    """Names, order and kind of every argument are those of v0.7.1 (and v0.8's `overwrite`)."""
    parameters = list(inspect.signature(getattr(LoggerDestination, method)).parameters.values())[1:]
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == positional
    assert [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] == keyword_only


def test_a_destination_without_files_says_so() -> None:
    """The base class keeps nothing, and fetching from it is an error that names the class."""
    with pytest.raises(NotImplementedError, match="LoggerDestination"):
        LoggerDestination().get_file_artifact("name", "out")
    assert not LoggerDestination().can_log_file_artifacts()
