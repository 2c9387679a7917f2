"""Hold what the FileLogger writes, when it flushes, and what it leaves behind (B19).

The first tests follow Composer's own of v0.7.1, event by event: which lines appear for a level and
an interval, how often the file is logged, capture from construction on, exceptions included.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from destination import Event, FileLogger, Logger, LoggerDestination, LogLevel, State
from destination.integrations import Progress, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Tracker(LoggerDestination):
    """Keeps what each logged file held at the call."""

    def __init__(self) -> None:
        self.logged: list[tuple[LogLevel, str, str, bool]] = []

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        self.logged.append((log_level, artifact_name, file_path.read_text(), overwrite))


class _Run:
    """A training loop in miniature: it runs events on a FileLogger and keeps the time."""

    def __init__(self, file_logger: FileLogger) -> None:
        self.state = RunState("run")
        self.tracker = _Tracker()
        self.file_logger = file_logger
        self.logger = Logger(self.state, [file_logger, self.tracker])

    def event(self, *events: Event) -> None:
        for event in events:
            self.file_logger.run_event(event, self.state, self.logger)

    def batch(self) -> None:
        self.event(Event.BATCH_START)
        self.state.timestamp.batch += 1
        self.event(Event.BATCH_END)

    def end_epoch(self) -> None:
        self.state.timestamp.epoch += 1
        self.event(Event.EPOCH_END)

    def close(self) -> None:
        self.file_logger.close(self.state, self.logger)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the log is written."""
    return tmp_path / "logs" / "output.log"


@pytest.fixture(autouse=True)
def streams_are_restored() -> Iterator[None]:
    """A FileLogger that a test leaves open does not capture the next test."""
    before = sys.stdout, sys.stderr, sys.stdout.write, sys.stderr.write
    yield
    sys.stdout, sys.stderr = before[:2]
    sys.stdout.write, sys.stderr.write = before[2:]  # type: ignore[method-assign]


def quiet(path: pathlib.Path, **options: Any) -> FileLogger:
    """A FileLogger that does not capture what the test prints."""
    return FileLogger(str(path), "log", capture_stdout=False, capture_stderr=False, **options)


def run_of_four_epochs(level: LogLevel, path: pathlib.Path) -> _Run:
    """Log data at all levels, at an interval of 3, as Composer's test does."""
    run = _Run(quiet(path, log_level=level, log_interval=3, flush_interval=1))
    run.event(Event.INIT, Event.EPOCH_START)
    run.batch()
    run.batch()
    run.event(Event.BATCH_START)
    run.end_epoch()
    run.event(Event.EPOCH_START)
    run.logger.data_fit({"metric": "fit"})
    run.logger.data_epoch({"metric": "epoch"})
    run.logger.data_batch({"metric": "batch"})
    run.end_epoch()
    run.event(Event.EPOCH_START)
    run.logger.data_epoch({"metric": "epoch1"})
    run.end_epoch()
    run.event(Event.EPOCH_START)
    run.batch()
    run.event(Event.BATCH_START)
    run.logger.data_epoch({"metric": "epoch2"})
    run.logger.data_batch({"metric": "batch1"})
    run.end_epoch()
    run.close()
    return run


def test_at_level_epoch_batches_are_left_out_and_epochs_come_by_interval(
    path: pathlib.Path,
) -> None:
    """FIT always, every third epoch, no batch."""
    run_of_four_epochs(LogLevel.EPOCH, path)
    assert path.read_text().splitlines() == [
        '[FIT][batch=2]: { "metric": "fit", }',
        '[EPOCH][batch=2]: { "metric": "epoch1", }',
    ]


def test_at_level_batch_epochs_come_always_and_batches_by_interval(path: pathlib.Path) -> None:
    """A coarser level is not thinned out."""
    run_of_four_epochs(LogLevel.BATCH, path)
    assert path.read_text().splitlines() == [
        '[FIT][batch=2]: { "metric": "fit", }',
        '[EPOCH][batch=2]: { "metric": "epoch", }',
        '[BATCH][batch=2]: { "metric": "batch", }',
        '[EPOCH][batch=2]: { "metric": "epoch1", }',
        '[EPOCH][batch=3]: { "metric": "epoch2", }',
    ]


def test_at_level_fit_only_fit_appears(path: pathlib.Path) -> None:
    """Both finer levels are left out."""
    run_of_four_epochs(LogLevel.FIT, path)
    assert path.read_text().splitlines() == ['[FIT][batch=2]: { "metric": "fit", }']


@pytest.mark.parametrize(
    ("level", "flushes"),
    [
        (LogLevel.FIT, 4 + 1),  # EPOCH_STARTs and close
        (LogLevel.EPOCH, 4 + 4 + 1),  # and EPOCH_ENDs
        (LogLevel.BATCH, 4 + 4 + 3 + 1),  # and BATCH_ENDs
    ],
)
def test_the_file_is_logged_once_a_flush(path: pathlib.Path, level: LogLevel, flushes: int) -> None:
    """Each time as FIT, under its name, replacing the one before."""
    logged = run_of_four_epochs(level, path).tracker.logged
    assert len(logged) == flushes
    assert {(entry[0], entry[1], entry[3]) for entry in logged} == {(LogLevel.FIT, "log", True)}


@pytest.mark.parametrize(("level", "at_batches"), [("batch", [3, 6]), ("epoch", [])])
def test_batches_flush_by_interval_at_level_batch_only(
    path: pathlib.Path, level: str, at_batches: list[int]
) -> None:
    """`flush_interval` counts batches at level BATCH, and no batch flushes at level EPOCH."""
    run = _Run(quiet(path, log_level=level, flush_interval=3))
    run.event(Event.INIT)
    flushed = []
    for batch in range(1, 8):
        before = len(run.tracker.logged)
        run.batch()
        if len(run.tracker.logged) > before:
            flushed.append(batch)
    run.close()
    assert flushed == at_batches


@pytest.mark.parametrize("event", [Event.EPOCH_START, Event.EVAL_START, Event.FIT_END])
def test_these_events_flush_whatever_the_interval(path: pathlib.Path, event: Event) -> None:
    """What was logged by then is at the destinations."""
    run = _Run(quiet(path, log_level="fit", flush_interval=1000))
    run.event(Event.INIT)
    run.logger.data_fit({"a": 1})
    run.event(event)
    assert [entry[2] for entry in run.tracker.logged] == ['[FIT][batch=0]: { "a": 1, }\n']
    run.close()


def test_a_flush_is_on_disk_before_the_file_is_logged(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write, flush, fsync, then the log call: with a buffer that holds everything back."""
    order: list[str] = []
    run = _Run(quiet(path, buffer_size=1 << 20))
    monkeypatch.setattr("os.fsync", lambda _descriptor: order.append(f"fsync {path.read_text()!r}"))
    monkeypatch.setattr(
        run.tracker, "log_file_artifact", lambda **call: order.append("log_file_artifact")
    )
    run.event(Event.INIT)
    run.logger.data_fit({})
    run.event(Event.FIT_END)
    assert order == ["fsync '[FIT][batch=0]: { }\\n'", "log_file_artifact"]
    run.close()


def test_printing_is_captured_from_construction_on(path: pathlib.Path) -> None:
    """Lines before INIT wait; each is marked with its stream, in the order of printing."""
    file_logger = FileLogger(str(path))
    print("Hello, stdout!\nExtra Line")
    print("Hello, stderr!\nExtra Line2", file=sys.stderr)
    run = _Run(file_logger)
    run.event(Event.INIT, Event.EPOCH_START)
    print("one", "line", 3)
    run.close()
    assert path.read_text().splitlines() == [
        "[stdout]: Hello, stdout!",
        "[stdout]: Extra Line",
        "[stderr]: Hello, stderr!",
        "[stderr]: Extra Line2",
        "[stdout]: one line 3",
    ]


def test_captured_lines_are_still_printed(
    path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Capturing copies; it takes nothing away."""
    run = _Run(FileLogger(str(path)))
    print("seen")
    run.close()
    assert capsys.readouterr().out == "seen\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_only_the_streams_asked_for_are_captured(path: pathlib.Path, stream: str) -> None:
    """One without the other."""
    captured = {"capture_stdout": stream == "stdout", "capture_stderr": stream == "stderr"}
    run = _Run(FileLogger(str(path), **captured))  # type: ignore[arg-type]
    print("to stdout")
    print("to stderr", file=sys.stderr)
    run.close()
    assert path.read_text() == f"[{stream}]: to {stream}\n"


def test_an_exception_that_is_printed_is_captured(path: pathlib.Path) -> None:
    """The traceback of a run that fails is in its log."""
    run = _Run(FileLogger(str(path)))
    run.event(Event.INIT)
    try:
        raise RuntimeError("My Exception!")  # noqa: TRY301 - the exception is the subject
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    run.close()
    assert path.read_text().splitlines()[-1] == "[stderr]: RuntimeError: My Exception!"


def test_after_close_the_streams_are_as_they_were(path: pathlib.Path) -> None:
    """Composer never took its patch off; ours leaves the very same `write`."""
    before = sys.stdout.write, sys.stderr.write
    run = _Run(FileLogger(str(path)))
    assert sys.stdout.write != before[0]
    run.event(Event.INIT)
    run.close()
    assert (sys.stdout.write, sys.stderr.write) == before
    print("SHOULD NOT BE CAPTURED")
    assert path.read_text() == ""


def test_the_last_artifact_is_logged_in_close(path: pathlib.Path) -> None:
    """A line after the last event still arrives."""
    run = _Run(quiet(path))
    run.event(Event.INIT, Event.FIT_END)
    run.logger.data_fit({"last": True})
    run.close()
    assert run.tracker.logged[-1][2] == '[FIT][batch=0]: { "last": True, }\n'


def test_what_waited_for_an_init_that_never_came_is_logged_in_close(path: pathlib.Path) -> None:
    """A run that fails while it is set up has its log too."""
    run = _Run(quiet(path))
    run.logger.data_fit({"setup": "failed"})
    run.close()
    assert run.tracker.logged[-1][2] == '[FIT][batch=0]: { "setup": "failed", }\n'


def test_closing_twice_logs_once(path: pathlib.Path) -> None:
    """A second close has nothing to do."""
    run = _Run(quiet(path))
    run.event(Event.INIT)
    run.close()
    run.close()
    assert len(run.tracker.logged) == 1


def test_an_existing_file_is_refused_unless_overwrite_or_append(path: pathlib.Path) -> None:
    """Composer's `overwrite` was always true; ours protects the file and says what to give."""
    path.parent.mkdir()
    path.write_text("old\n")
    with pytest.raises(FileExistsError, match=r"overwrite=True.*append=True"):
        _Run(quiet(path)).event(Event.INIT)
    assert path.read_text() == "old\n"


@pytest.mark.parametrize(
    ("options", "kept"), [({"overwrite": True}, ""), ({"append": True}, "old\n")]
)
def test_overwrite_starts_anew_and_append_goes_on(
    path: pathlib.Path, options: dict[str, bool], kept: str
) -> None:
    """`append` is for a run that resumes in its folder."""
    path.parent.mkdir()
    path.write_text("old\n")
    run = _Run(quiet(path, **options))
    run.event(Event.INIT)
    run.logger.data_fit({})
    run.close()
    assert path.read_text() == f"{kept}[FIT][batch=0]: {{ }}\n"


def test_a_second_init_is_a_runtime_error(path: pathlib.Path) -> None:
    """The file that is open is not lost."""
    run = _Run(quiet(path))
    run.event(Event.INIT)
    with pytest.raises(RuntimeError, match="already initialised"):
        run.event(Event.INIT)
    run.close()


def test_the_default_name_has_run_and_rank_and_no_leading_slash(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`{run_name}/logs-rank{rank}.txt` for both; an absolute path is stripped in the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "2")
    run = _Run(FileLogger(capture_stdout=False, capture_stderr=False))
    run.event(Event.INIT)
    run.close()
    assert (tmp_path / "run" / "logs-rank2.txt").exists()
    assert run.tracker.logged[0][1] == "run/logs-rank2.txt"
    path = tmp_path / "absolute.log"
    other = _Run(FileLogger(str(path), capture_stdout=False, capture_stderr=False))
    other.event(Event.INIT)
    other.close()
    assert other.tracker.logged[0][1] == str(path)[1:]


def test_jsonl_is_one_object_a_line(path: pathlib.Path) -> None:
    """Data with level and counts; printed lines with their stream."""
    run = _Run(FileLogger(str(path), format="jsonl", capture_stderr=False))
    run.event(Event.INIT)
    run.state.timestamp = Progress(epoch=1, batch=2)
    run.logger.data_epoch({"loss": 0.5})
    print("hello")
    run.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"level": "EPOCH", "epoch": 1, "batch": 2, "data": {"loss": 0.5}},
        {"stream": "stdout", "text": "hello"},
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"format": "csv"},
        {"log_interval": 0},
        {"flush_interval": 0},
        {"buffer_size": 0},
        {"log_level": "step"},
    ],
)
def test_a_bad_argument_is_a_value_error(path: pathlib.Path, options: dict[str, Any]) -> None:
    """And nothing is captured by then."""
    before = sys.stdout.write
    with pytest.raises(ValueError, match=next(iter(options)).replace("log_level", "log level")):
        FileLogger(str(path), **options)
    assert sys.stdout.write == before
