"""Routes what a training script logs to every destination.

- Names and paths are filled here, once, so that every destination sees the same ones.
- A destination that raises does not keep the others from getting the call: all get it, then the
  first error is raised. The others' errors are notes of it (Python 3.11), or go to the log.
"""

from __future__ import annotations

import logging
import pathlib
from typing import TYPE_CHECKING, Any

from destination import artifact_name as names
from destination.logger_destination import LoggerDestination, LogLevel, State

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)


class Logger:
    """The front end that a training script logs through.

    Args:
        state: the training's state; read for placeholders at each call, and passed on.
        destinations: where the calls go, in this order.
        run_name: the run's name; by default `state.run_name`. None where neither is known: then
            `{run_name}` in a name is a RuntimeError. It is never made up, because the ranks of a
            run, and the run after a restart, must come to the same one.
    """

    def __init__(
        self,
        state: State,
        destinations: LoggerDestination | Sequence[LoggerDestination] | None = None,
        run_name: str | None = None,
    ) -> None:
        if isinstance(destinations, LoggerDestination):
            destinations = [destinations]
        self.state = state
        self.destinations = tuple(destinations or ())
        self._run_name = run_name

    @property
    def run_name(self) -> str | None:
        """The run's name, or None where it is not known."""
        return self._run_name or names.known_run_name(self.state)

    def data(self, log_level: LogLevel | int | str, data: dict[str, Any]) -> None:
        """Log `data` at `log_level` (a level, its number, or its name in any case)."""
        level = LogLevel.of(log_level)
        self._tell_all(lambda destination: destination.log_data(self.state, level, data))

    def data_fit(self, data: dict[str, Any]) -> None:
        """Log `data` once in a run."""
        self.data(LogLevel.FIT, data)

    def data_epoch(self, data: dict[str, Any]) -> None:
        """Log `data` once in an epoch."""
        self.data(LogLevel.EPOCH, data)

    def data_batch(self, data: dict[str, Any]) -> None:
        """Log `data` once in a batch."""
        self.data(LogLevel.BATCH, data)

    def file_artifact(
        self,
        log_level: LogLevel | int | str,
        artifact_name: str,
        file_path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
    ) -> None:
        """Log the file at `file_path`, as it is now, under `artifact_name`.

        Placeholders are filled in both; braces in the path that are none are left as they are.

        Raises:
            ValueError: a placeholder of the name that does not exist, or a bad name.
            Exception: the first error of a destination, after every destination got the call.
        """
        level, values = LogLevel.of(log_level), self._placeholders()
        name = names.fill_name(artifact_name, values)
        path = pathlib.Path(names.fill_path(str(file_path), values))
        self._tell_all(
            lambda destination: destination.log_file_artifact(
                state=self.state,
                log_level=level,
                artifact_name=name,
                file_path=path,
                overwrite=overwrite,
            )
        )

    def symlink_artifact(
        self,
        log_level: LogLevel | int | str,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool = False,
    ) -> None:
        """Make `symlink_artifact_name` another name of the artifact `existing_artifact_name`.

        Raises:
            ValueError: a placeholder that does not exist, or a bad name.
            Exception: the first error of a destination, after every destination got the call.
        """
        level, values = LogLevel.of(log_level), self._placeholders()
        existing = names.fill_name(existing_artifact_name, values)
        symlink = names.fill_name(symlink_artifact_name, values)
        self._tell_all(
            lambda destination: destination.log_symlink_artifact(
                state=self.state,
                log_level=level,
                existing_artifact_name=existing,
                symlink_artifact_name=symlink,
                overwrite=overwrite,
            )
        )

    def has_file_artifact_destination(self) -> bool:
        """Whether any destination keeps file artifacts."""
        return any(destination.can_log_file_artifacts() for destination in self.destinations)

    def _placeholders(self) -> dict[str, Any]:
        return names.placeholders(self.state, self.run_name)

    def _tell_all(self, call: Callable[[LoggerDestination], None]) -> None:
        errors: list[tuple[LoggerDestination, Exception]] = []
        for destination in self.destinations:
            try:
                call(destination)
            except Exception as error:  # noqa: BLE001 - raised below, once all have been told
                errors.append((destination, error))
        if errors:
            _attach(errors[0][1], errors[1:])
            raise errors[0][1]


def _attach(first: Exception, others: list[tuple[LoggerDestination, Exception]]) -> None:
    for destination, error in others:
        note = f"{type(destination).__name__} failed as well: {type(error).__name__}: {error}"
        if hasattr(first, "add_note"):
            first.add_note(note)
        else:
            log.error("%s", note, exc_info=error)
