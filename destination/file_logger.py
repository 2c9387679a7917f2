"""Writes what a run logs and prints to a file, and logs that file as an artifact.

- The file is written and fsynced first, then logged with `overwrite=True`, at every flush; the last
  time in `close()`. Destinations that upload keep the newest version only, so this costs what the
  newest one costs.
- Before `Event.INIT` there is no run name and so no file: lines wait in memory. Printing is
  captured from construction on.
- Which lines appear: FIT always; a level finer than `log_level` never; a coarser one always; the
  level itself at every `log_interval`-th batch (epoch), counted by BATCH_START (EPOCH_START).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

from destination import artifact_name as names
from destination.log_line import data_line, printed_line
from destination.logger_destination import LoggerDestination, LogLevel, State
from destination.stdout_capture import StreamCapture

if TYPE_CHECKING:
    from destination.logger import Logger


class FileLogger(LoggerDestination):
    """Logs data and printed lines to a file of its own.

    Args:
        filename: path of the file; placeholders of the run and the process are filled. It must
            contain `{rank}` (or another word that differs) where several processes log.
        artifact_name: name under which the file is logged; by default that of the file, with `/`
            between folders and none at the start.
        format: "text" or "jsonl"; see `destination.log_line`.
        capture_stdout: whether lines printed to stdout are written as well.
        capture_stderr: the same for stderr.
        buffer_size: as for `open`; 1 writes each line at once.
        log_level: the finest level that is written.
        log_interval: of the level `log_level`, every how many batches (epochs) are written.
        flush_interval: batches (at level BATCH) or epochs (at level EPOCH) between flushes. A flush
            also comes at EPOCH_START, EVAL_START and FIT_END, at level BATCH at each EPOCH_END, and
            in `close()`.
        overwrite: whether an existing file may be replaced.
        append: whether an existing file is gone on with, as a run does that resumes in its folder.

    Raises:
        ValueError: an argument that is none of those values.
    """

    def __init__(
        self,
        filename: str = "{run_name}/logs-rank{rank}.txt",
        artifact_name: str | None = None,
        *,
        format: Literal["text", "jsonl"] = "text",  # noqa: A002 - the word that users know
        capture_stdout: bool = True,
        capture_stderr: bool = True,
        buffer_size: int = 1,
        log_level: LogLevel | int | str = LogLevel.EPOCH,
        log_interval: int = 1,
        flush_interval: int = 100,
        overwrite: bool = False,
        append: bool = False,
    ) -> None:
        if format not in ("text", "jsonl"):
            raise ValueError(f'format must be "text" or "jsonl", not {format!r}')
        for argument, number in (
            ("buffer_size", buffer_size),
            ("log_interval", log_interval),
            ("flush_interval", flush_interval),
        ):
            if number < 1:
                raise ValueError(f"{argument} must be at least 1, not {number}")
        self.log_level = LogLevel.of(log_level)
        self.log_interval = log_interval
        self.flush_interval = flush_interval
        self._filename = filename
        self._artifact_name = (artifact_name or filename.replace(os.path.sep, "/")).lstrip("/")
        self._format = format
        self._mode: Literal["a", "w", "x"] = "a" if append else "w" if overwrite else "x"
        self._buffer_size = buffer_size
        self._file: TextIO | None = None
        self._waiting: list[str] = []
        # Due until an event says otherwise: a loop that runs no events gets all its lines.
        self._due = {LogLevel.EPOCH: True, LogLevel.BATCH: True}
        streams = (("stdout", capture_stdout), ("stderr", capture_stderr))
        self._captures = [self._capture(name) for name, wanted in streams if wanted]

    def init(self, state: State, logger: Logger) -> None:
        """Open the file and write what has waited.

        Raises:
            RuntimeError: a second INIT before `close()`.
            FileExistsError: the file exists, and neither `overwrite` nor `append` was given.
        """
        if self._file is not None:
            raise RuntimeError("the FileLogger is already initialised; INIT comes once")
        self._file = self._open(names.placeholders(state, names.known_run_name(state, logger)))
        self._file.writelines(self._waiting)
        self._waiting.clear()

    def log_data(self, state: State, log_level: LogLevel, data: dict[str, Any]) -> None:
        """Write a line, if `log_level` is due."""
        if self._is_due(log_level):
            when = names.time_placeholders(state)
            self._write(data_line(self._format, log_level, when, data))

    def epoch_start(self, state: State, logger: Logger) -> None:
        """Flush what came in INIT and FIT_START; count the epoch."""
        self._count(LogLevel.EPOCH, state)
        self._flush(logger)

    def batch_start(self, state: State, logger: Logger) -> None:
        """Count the batch."""
        self._count(LogLevel.BATCH, state)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Flush at level BATCH, every `flush_interval` batches."""
        if self.log_level is LogLevel.BATCH and self._is_flush_due("batch", state):
            self._flush(logger)

    def epoch_end(self, state: State, logger: Logger) -> None:
        """Flush at level BATCH, and at level EPOCH every `flush_interval` epochs."""
        if self.log_level is LogLevel.BATCH or (
            self.log_level is LogLevel.EPOCH and self._is_flush_due("epoch", state)
        ):
            self._flush(logger)

    def eval_start(self, state: State, logger: Logger) -> None:
        """Flush: a run that only evaluates has no epochs."""
        self._flush(logger)

    def fit_end(self, state: State, logger: Logger) -> None:
        """Flush: a trainer may be used again, and `close()` be far away."""
        self._flush(logger)

    def close(self, state: State, logger: Logger) -> None:
        """Stop capturing, and log the file for the last time."""
        for capture in self._captures:
            capture.close()
        self._captures.clear()
        if self._file is None and self._waiting:
            self.init(state, logger)
        self._flush(logger)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, values: dict[str, Any]) -> TextIO:
        path = os.path.expanduser(names.fill_name(self._filename, values))
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        try:
            return open(path, self._mode, buffering=self._buffer_size, encoding="utf-8")
        except FileExistsError as error:
            advice = "give overwrite=True to start it anew or append=True to go on in it"
            raise FileExistsError(error.errno, f"the log file exists; {advice}", path) from error

    def _capture(self, stream: str) -> StreamCapture:
        return StreamCapture(
            getattr(sys, stream),
            lambda line: self._write(printed_line(self._format, stream, line)),
        )

    def _write(self, line: str) -> None:
        if self._file is None:
            self._waiting.append(line)
        else:
            self._file.write(line)

    def _flush(self, logger: Logger) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        logger.file_artifact(LogLevel.FIT, self._artifact_name, self._file.name, overwrite=True)

    def _is_due(self, level: LogLevel) -> bool:
        if level == LogLevel.FIT or level < self.log_level:
            return True
        return level == self.log_level and self._due[level]

    def _count(self, level: LogLevel, state: State) -> None:
        started = names.time_placeholders(state).get(level.name.lower(), 0) + 1
        self._due[level] = started % self.log_interval == 0

    def _is_flush_due(self, count: str, state: State) -> bool:
        return names.time_placeholders(state).get(count, 0) % self.flush_interval == 0
