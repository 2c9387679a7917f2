"""Names the events, the levels and the interface that a training run speaks to.

- The interface is Composer's `LoggerDestination` as of v0.6.0 to v0.7.1: the same names, the same
  positional and keyword-only arguments (`log_symlink_artifact`'s `overwrite` is positional,
  `log_file_artifact`'s is keyword-only), the same no-op defaults.
- Every `log_*` call blocks the training loop, and once it returned, training may change or delete
  the file: a destination that is slow must copy first.
- All `close()` calls of a run come before any `post_close()`: a logger's last artifact is logged in
  its `close()`, so a destination stops accepting in `post_close()`, not before.
- Nothing here imports a framework: a state is whatever has the attributes that `State` lists.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pathlib

    from destination.logger import Logger

#: bytes; Composer's default for the size of one read while an artifact is fetched
FETCH_CHUNK_SIZE = 2**20


class Event(str, Enum):
    """Points of a training run, by the name of the hook that each one calls."""

    INIT = "init"
    FIT_START = "fit_start"
    EPOCH_START = "epoch_start"
    AFTER_DATALOADER = "after_dataloader"
    BATCH_START = "batch_start"
    BEFORE_TRAIN_BATCH = "before_train_batch"
    BEFORE_FORWARD = "before_forward"
    AFTER_FORWARD = "after_forward"
    BEFORE_LOSS = "before_loss"
    AFTER_LOSS = "after_loss"
    BEFORE_BACKWARD = "before_backward"
    AFTER_BACKWARD = "after_backward"
    AFTER_TRAIN_BATCH = "after_train_batch"
    BATCH_END = "batch_end"
    BATCH_CHECKPOINT = "batch_checkpoint"
    EPOCH_END = "epoch_end"
    EPOCH_CHECKPOINT = "epoch_checkpoint"
    FIT_END = "fit_end"
    EVAL_START = "eval_start"
    EVAL_BATCH_START = "eval_batch_start"
    EVAL_BEFORE_FORWARD = "eval_before_forward"
    EVAL_AFTER_FORWARD = "eval_after_forward"
    EVAL_BATCH_END = "eval_batch_end"
    EVAL_END = "eval_end"
    PREDICT_START = "predict_start"
    PREDICT_BATCH_START = "predict_batch_start"
    PREDICT_BEFORE_FORWARD = "predict_before_forward"
    PREDICT_AFTER_FORWARD = "predict_after_forward"
    PREDICT_BATCH_END = "predict_batch_end"
    PREDICT_END = "predict_end"


class LogLevel(IntEnum):
    """How often something is logged; a larger value is a finer grain.

    `LogLevel(1)`, `LogLevel("fit")`, `LogLevel("FIT")` and `LogLevel(LogLevel.FIT)` are the same.
    """

    FIT = 1
    EPOCH = 2
    BATCH = 3

    @classmethod
    def of(cls, value: LogLevel | int | str) -> LogLevel:
        """Return the level that `value` stands for.

        Raises:
            ValueError: it stands for none.
        """
        return cls(value)  # type: ignore[arg-type] # `_missing_` takes names

    @classmethod
    def _missing_(cls, value: object) -> LogLevel:
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        names = ", ".join(f"{level.name}={level.value}" for level in cls)
        raise ValueError(f"{value!r} is not a log level; there are {names}")


class Timestamp(Protocol):
    """Where training stands. Counts may be of any type that `int()` takes (Composer's `Time`).

    Read as well, where they are there: `batch_in_epoch`, `sample`, `sample_in_epoch`, `token`,
    `token_in_epoch`, and the wall clock times `total_wct`, `epoch_wct`, `batch_wct` (timedelta, or
    seconds).
    """

    @property
    def epoch(self) -> Any:
        """Epochs that are complete."""

    @property
    def batch(self) -> Any:
        """Batches that are complete, over all epochs."""


class State(Protocol):
    """What is read of a training's state: nothing else, and each of the two only when needed.

    States of older Composer versions do as well: one without `run_name` (up to v0.7.1, where the
    logger has it), one with `timer` instead of `timestamp` (v0.6).
    """

    @property
    def run_name(self) -> str | None:
        """The run's name, the same on all ranks and after a restart."""

    @property
    def timestamp(self) -> Timestamp:
        """Where training stands."""


class Callback:
    """Something that a training loop tells of its events; every hook does nothing here."""

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Call the hook of `event`.

        Raises:
            ValueError: `event` is not an `Event` nor the value of one.
        """
        getattr(self, Event(event).value)(state, logger)

    def init(self, state: State, logger: Logger) -> None:
        """Hook of `Event.INIT`."""

    def fit_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.FIT_START`."""

    def epoch_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EPOCH_START`."""

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """Hook of `Event.AFTER_DATALOADER`."""

    def batch_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BATCH_START`."""

    def before_train_batch(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BEFORE_TRAIN_BATCH`."""

    def before_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BEFORE_FORWARD`."""

    def after_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.AFTER_FORWARD`."""

    def before_loss(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BEFORE_LOSS`."""

    def after_loss(self, state: State, logger: Logger) -> None:
        """Hook of `Event.AFTER_LOSS`."""

    def before_backward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BEFORE_BACKWARD`."""

    def after_backward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.AFTER_BACKWARD`."""

    def after_train_batch(self, state: State, logger: Logger) -> None:
        """Hook of `Event.AFTER_TRAIN_BATCH`."""

    def batch_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BATCH_END`."""

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Hook of `Event.BATCH_CHECKPOINT`."""

    def epoch_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EPOCH_END`."""

    def epoch_checkpoint(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EPOCH_CHECKPOINT`."""

    def fit_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.FIT_END`."""

    def eval_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_START`."""

    def eval_batch_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_BATCH_START`."""

    def eval_before_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_BEFORE_FORWARD`."""

    def eval_after_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_AFTER_FORWARD`."""

    def eval_batch_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_BATCH_END`."""

    def eval_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.EVAL_END`."""

    def predict_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_START`."""

    def predict_batch_start(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_BATCH_START`."""

    def predict_before_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_BEFORE_FORWARD`."""

    def predict_after_forward(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_AFTER_FORWARD`."""

    def predict_batch_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_BATCH_END`."""

    def predict_end(self, state: State, logger: Logger) -> None:
        """Hook of `Event.PREDICT_END`."""

    def close(self, state: State, logger: Logger) -> None:
        """End the callback's own work; what it logs here still reaches every destination."""

    def post_close(self) -> None:
        """Release what is left, after every callback's `close()`."""


class LoggerDestination(Callback):
    """Something that takes what a training run logs; every method does nothing here."""

    def log_data(self, state: State, log_level: LogLevel, data: dict[str, Any]) -> None:
        """Log `data`, whose values may be of any type."""

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        """Log the file at `file_path`, as it is now, under `artifact_name`.

        With `overwrite` it takes the place of an artifact of that name; without, it never does.
        """

    def log_symlink_artifact(
        self,
        state: State,
        log_level: LogLevel,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        """Make `symlink_artifact_name` another name of the artifact `existing_artifact_name`."""

    def get_file_artifact(
        self,
        artifact_name: str,
        destination: str,
        chunk_size: int = FETCH_CHUNK_SIZE,
        progress_bar: bool = True,
        *,
        overwrite: bool = False,
    ) -> None:
        """Fetch the artifact into the file `destination`.

        Raises:
            NotImplementedError: the destination keeps no files.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no file artifacts")

    def can_log_file_artifacts(self) -> bool:
        """Whether file artifacts that are logged here are kept."""
        return False
