"""Logs the checkpoints that PyTorch Lightning saves.

    uploads = ObjectStoreLogger("s3://bucket/runs")
    trainer = Trainer(
        plugins=[UploadingCheckpointIO(uploads, run_name="my-run")],
        callbacks=[UploadEvents(uploads, run_name="my-run")],
    )

- Lightning's hooks run before a checkpoint is written; its CheckpointIO is what writes it, so the
  plugin logs the file when the write has returned.
- A checkpoint is named by its path below `root` (by default the trainer's working directory), and
  replaces one of that name: Lightning itself writes `last.ckpt` again and again.
- What Lightning removes locally stays at the destination.
- One file a checkpoint. Sharded checkpoints are folders that all ranks write at once, and no hook
  tells when the last one is done: they are refused with a clear error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback  # type: ignore[import-not-found]
from lightning.pytorch.plugins.io import (  # type: ignore[import-not-found]
    CheckpointIO,
    TorchCheckpointIO,
)

from destination.integrations import Progress, RunState
from destination.logger import Logger
from destination.logger_destination import Event, LogLevel

if TYPE_CHECKING:
    import os

    from destination.logger_destination import LoggerDestination


class UploadingCheckpointIO(CheckpointIO):  # type: ignore[misc] # the framework is not installed here
    """Saves checkpoints as `inner` does, and logs each one.

    Args:
        destination: what the checkpoints are logged to.
        run_name: the run's name, the same after a restart.
        root: folder that names are relative to.
        inner: what reads and writes the files; by default Lightning's own.
    """

    def __init__(
        self,
        destination: LoggerDestination,
        run_name: str,
        root: str | os.PathLike[str] = ".",
        inner: Any = None,
    ) -> None:
        super().__init__()
        self._destination = destination
        self._state = RunState(run_name)
        self._root = Path(root).absolute()
        self._inner = inner or TorchCheckpointIO()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write the file, then log it.

        Raises:
            IsADirectoryError: a sharded checkpoint.
            ValueError: a path that is not below `root`.
        """
        self._inner.save_checkpoint(checkpoint, path, storage_options)
        file_path = Path(path).absolute()
        name = file_path.relative_to(self._root).as_posix()
        self._destination.log_file_artifact(
            self._state, LogLevel.EPOCH, name, file_path, overwrite=True
        )

    def load_checkpoint(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Read a local file."""
        return self._inner.load_checkpoint(path, *args, **kwargs)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove the local file; the destination keeps its own."""
        self._inner.remove_checkpoint(path)


class UploadEvents(Callback):  # type: ignore[misc] # the framework is not installed here
    """Tells `destination` of the events at which it reports failures, and of the end."""

    def __init__(self, destination: LoggerDestination, run_name: str) -> None:
        super().__init__()
        self._destination = destination
        self._state = RunState(run_name)
        self._logger = Logger(self._state, [destination])

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        """Run INIT."""
        self._run(Event.INIT, trainer)

    def on_train_batch_end(self, trainer: Any, *_args: Any, **_kwargs: Any) -> None:
        """Run BATCH_END."""
        self._run(Event.BATCH_END, trainer)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Run EPOCH_END."""
        self._run(Event.EPOCH_END, trainer)

    def on_fit_end(self, trainer: Any, module: Any) -> None:
        """Run FIT_END."""
        self._run(Event.FIT_END, trainer)

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        """Close the destination; it tells what is left to upload."""
        if stage == "fit":
            self._destination.close(self._state, self._logger)
            self._destination.post_close()

    def _run(self, event: Event, trainer: Any) -> None:
        self._state.timestamp = Progress(epoch=trainer.current_epoch, batch=trainer.global_step)
        self._destination.run_event(event, self._state, self._logger)
