"""Logs the checkpoint folders that the transformers Trainer saves.

    trainer = Trainer(..., callbacks=[UploadCheckpoints(ObjectStoreLogger("s3://bucket/runs"))])

- `on_save` comes when the folder `checkpoint-<step>` is written. Each of its files is logged as
  `checkpoint-<step>/<path below it>`.
- The process that saves logs the folder. `rng_state_<rank>.pth` is written by each process, and so
  logged by that process: another one could catch it half written.
- A checkpoint that all ranks write in shards (DeepSpeed, FSDP) is not covered: the hook does not
  tell when the other ranks are done.
- Nor is one that is written elsewhere, as a hyperparameter search does, below `run-<trial>`: the
  hook does not tell where. That nothing was logged is a warning.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback  # type: ignore[import-not-found]

from destination.integrations import Progress, RunState
from destination.logger import Logger
from destination.logger_destination import Event, LogLevel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination.logger_destination import LoggerDestination


class UploadCheckpoints(TrainerCallback):  # type: ignore[misc] # the framework is not installed here
    """Logs every file of every checkpoint to `destination`.

    Args:
        destination: what the files are logged to.
        run_name: the run's name; by default the arguments' `run_name`, else the name of their
            `output_dir`, which a run that resumes must be given again anyway.
    """

    def __init__(self, destination: LoggerDestination, run_name: str | None = None) -> None:
        super().__init__()
        self._destination = destination
        self._state = RunState(run_name)
        self._logger = Logger(self._state, [destination])

    def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Run INIT."""
        folder_name = Path(args.output_dir).absolute().name
        self._state.run_name = (
            self._state.run_name or getattr(args, "run_name", None) or folder_name
        )
        self._run(Event.INIT, state)

    def on_save(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Log the folder that was just written; a file of the same name is replaced."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if args.should_save and not folder.is_dir():
            message = (
                f"nothing of this checkpoint is uploaded: there is no folder {folder}; where it is "
                "written elsewhere, log its files with log_file_artifact"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        for path in _own_files(folder, args):
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            self._destination.log_file_artifact(
                self._state, LogLevel.EPOCH, name, path, overwrite=True
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Run BATCH_END."""
        self._run(Event.BATCH_END, state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Run EPOCH_END."""
        self._run(Event.EPOCH_END, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Run FIT_END and close the destination; it tells what is left to upload."""
        self._run(Event.FIT_END, state)
        self._destination.close(self._state, self._logger)
        self._destination.post_close()

    def _run(self, event: Event, state: Any) -> None:
        self._state.timestamp = Progress(epoch=int(state.epoch or 0), batch=state.global_step)
        self._destination.run_event(event, self._state, self._logger)


def _own_files(folder: Path, args: Any) -> Iterator[Path]:
    own = folder / f"rng_state_{args.process_index}.pth"
    for path in sorted(folder.rglob("*")):
        of_one_rank = path.parent == folder and path.match("rng_state_*.pth")
        if path.is_file() and (path == own if of_one_rank else args.should_save):
            yield path
