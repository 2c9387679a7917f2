"""Hold what the Logger passes on, to whom, and what it does when one of them fails."""

from __future__ import annotations

import logging
import pathlib
import sys
from typing import Any

import pytest

from destination import Logger, LoggerDestination, LogLevel, State
from destination.integrations import Progress, RunState


class _Recorder(LoggerDestination):
    """Keeps the calls that it gets; fails afterwards if told to."""

    def __init__(self, error: Exception | None = None, *, keeps_files: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error = error
        self.keeps_files = keeps_files

    def log_data(self, state: State, log_level: LogLevel, data: dict[str, Any]) -> None:
        self._took("data", state, log_level, data)

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        self._took("file", state, log_level, artifact_name, file_path, overwrite)

    def log_symlink_artifact(
        self,
        state: State,
        log_level: LogLevel,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        self._took(
            "symlink", state, log_level, existing_artifact_name, symlink_artifact_name, overwrite
        )

    def can_log_file_artifacts(self) -> bool:
        return self.keeps_files

    def _took(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error:
            raise self.error


@pytest.fixture
def state() -> RunState:
    """A state in its third epoch."""
    return RunState("run", Progress(epoch=3, batch=40))


def test_every_destination_gets_every_call(state: RunState) -> None:
    """Data, files and symlinks, in order, with the state."""
    both = [_Recorder(), _Recorder()]
    logger = Logger(state, both)
    logger.data("epoch", {"loss": 1})
    logger.file_artifact(1, "a", "out/a", overwrite=True)
    logger.symlink_artifact(LogLevel.FIT, "a", "b", True)
    expected = [
        ("data", state, LogLevel.EPOCH, {"loss": 1}),
        ("file", state, LogLevel.FIT, "a", pathlib.Path("out/a"), True),
        ("symlink", state, LogLevel.FIT, "a", "b", True),
    ]
    assert [destination.calls for destination in both] == [expected, expected]


def test_overwrite_is_off_by_default(state: RunState) -> None:
    """For files and for symlinks."""
    recorder = _Recorder()
    logger = Logger(state, recorder)
    logger.file_artifact("fit", "a", "out/a")
    logger.symlink_artifact("fit", "a", "b")
    assert [call[-1] for call in recorder.calls] == [False, False]


def test_the_short_forms_of_data_have_their_level(state: RunState) -> None:
    """`data_fit`, `data_epoch`, `data_batch`."""
    recorder = _Recorder()
    logger = Logger(state, recorder)
    logger.data_fit({})
    logger.data_epoch({})
    logger.data_batch({})
    assert [call[2] for call in recorder.calls] == list(LogLevel)


def test_placeholders_are_filled_in_names_and_path(state: RunState) -> None:
    """Both names of a symlink, and the name and the path of a file."""
    recorder = _Recorder()
    logger = Logger(state, recorder)
    logger.file_artifact("epoch", "{run_name}/ep{epoch}-rank{rank}", "out/{x}/{batch}.pt")
    logger.symlink_artifact("epoch", "ep{epoch}", "latest-{rank}")
    assert recorder.calls[0][3:5] == ("run/ep3-rank0", pathlib.Path("out/{x}/40.pt"))
    assert recorder.calls[1][3:5] == ("ep3", "latest-0")


def test_a_bad_placeholder_reaches_no_destination(state: RunState) -> None:
    """The error comes before the first call."""
    recorder = _Recorder()
    with pytest.raises(ValueError, match="is not a placeholder"):
        Logger(state, recorder).file_artifact("epoch", "{epohc}", "out/a")
    assert recorder.calls == []


def test_the_given_run_name_goes_before_the_states(state: RunState) -> None:
    """A Logger's `run_name` is what `{run_name}` stands for."""
    recorder = _Recorder()
    Logger(state, recorder, run_name="mine").file_artifact("fit", "{run_name}", "f")
    Logger(state, recorder).file_artifact("fit", "{run_name}", "f")
    assert [call[3] for call in recorder.calls] == ["mine", "run"]


def test_a_run_name_is_never_made_up() -> None:
    """Ranks and restarts could not come to the same one."""
    logger = Logger(RunState(None))
    assert logger.run_name is None
    with pytest.raises(RuntimeError, match="run_name"):
        logger.file_artifact("fit", "{run_name}", "f")


@pytest.mark.parametrize("kind", ["data", "file", "symlink"])
def test_a_failing_destination_does_not_keep_the_others_from_the_call(
    state: RunState, kind: str
) -> None:
    """All get the call, then the first error is raised."""
    calls = {
        "data": lambda logger: logger.data_fit({}),
        "file": lambda logger: logger.file_artifact("fit", "a", "a"),
        "symlink": lambda logger: logger.symlink_artifact("fit", "a", "b"),
    }
    first, second, third = _Recorder(KeyError("first")), _Recorder(OSError("second")), _Recorder()
    with pytest.raises(KeyError, match="first"):
        calls[kind](Logger(state, [first, second, third]))
    assert [len(one.calls) for one in (first, second, third)] == [1, 1, 1]


def test_the_other_errors_are_not_swallowed(
    state: RunState, caplog: pytest.LogCaptureFixture
) -> None:
    """They are notes of the first error; before Python 3.11 they are in the log."""
    destinations = [_Recorder(ValueError("first")), _Recorder(OSError("second"))]
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(ValueError, match="first") as caught,
    ):
        Logger(state, destinations).data_fit({})
    told = "\n".join(getattr(caught.value, "__notes__", [])) or caplog.text
    assert "_Recorder failed as well: OSError: second" in told
    assert (caplog.text == "") is (sys.version_info >= (3, 11))


def test_an_interrupt_is_not_held_back(state: RunState) -> None:
    """Ctrl-C in one destination ends the call at once."""

    class Interrupted(_Recorder):
        def log_data(self, state: State, log_level: LogLevel, data: dict[str, Any]) -> None:
            raise KeyboardInterrupt

    later = _Recorder()
    with pytest.raises(KeyboardInterrupt):
        Logger(state, [Interrupted(), later]).data_fit({})
    assert later.calls == []


def test_a_logger_knows_whether_files_are_kept(state: RunState) -> None:
    """One destination that keeps them is enough."""
    assert not Logger(state).has_file_artifact_destination()
    assert not Logger(state, _Recorder()).has_file_artifact_destination()
    both = [_Recorder(), _Recorder(keeps_files=True)]
    assert Logger(state, both).has_file_artifact_destination()
