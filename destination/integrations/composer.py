"""Lets a destination be one of Composer's loggers, whichever interface its version has.

    trainer = Trainer(..., loggers=[ComposerDestination(ObjectStoreLogger("s3://bucket/runs"))])

- v0.6.0 to v0.10.1: `log_data` (up to v0.9), `log_file_artifact`, `log_symlink_artifact` (up to
  v0.7.1), `get_file_artifact` (its keyword `overwrite` came with v0.8.0).
- From v0.11.0 on: `upload_file`, `download_file`, `can_upload_files`. Symlinks come as files whose
  name ends in `.symlink`, which ObjectStoreLogger understands.
- Events that came later than v0.7.1 have no hook here and are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.loggers import LoggerDestination as ComposerBase  # type: ignore[import-not-found]

from destination.logger_destination import FETCH_CHUNK_SIZE, Event, LoggerDestination, LogLevel

if TYPE_CHECKING:
    import pathlib

KNOWN_EVENTS = frozenset(event.value for event in Event)


class ComposerDestination(ComposerBase):  # type: ignore[misc] # the framework is not installed here
    """Passes what Composer's trainer and logger say on to `destination`."""

    def __init__(self, destination: LoggerDestination) -> None:
        super().__init__()
        self.destination = destination

    def run_event(self, event: Any, state: Any, logger: Any) -> None:
        """Pass an event on, if it was there in v0.7.1."""
        name = getattr(event, "value", event)
        if name in KNOWN_EVENTS:
            self.destination.run_event(Event(name), state, logger)

    def close(self, state: Any, logger: Any) -> None:
        """Pass it on; artifacts are accepted until `post_close`."""
        self.destination.close(state, logger)

    def post_close(self) -> None:
        """Pass it on."""
        self.destination.post_close()

    def log_data(self, state: Any, log_level: Any, data: dict[str, Any]) -> None:
        """Pass it on."""
        self.destination.log_data(state, LogLevel(int(log_level)), data)

    def log_file_artifact(
        self,
        state: Any,
        log_level: Any,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        """Pass it on."""
        self.destination.log_file_artifact(
            state, LogLevel(int(log_level)), artifact_name, file_path, overwrite=overwrite
        )

    def log_symlink_artifact(
        self,
        state: Any,
        log_level: Any,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        """Pass it on."""
        self.destination.log_symlink_artifact(
            state,
            LogLevel(int(log_level)),
            existing_artifact_name,
            symlink_artifact_name,
            overwrite,
        )

    def get_file_artifact(
        self,
        artifact_name: str,
        destination: str,
        chunk_size: int = FETCH_CHUNK_SIZE,
        progress_bar: bool = True,
        *,
        overwrite: bool = False,
    ) -> None:
        """Pass it on."""
        self.destination.get_file_artifact(
            artifact_name, destination, chunk_size, progress_bar, overwrite=overwrite
        )

    def can_log_file_artifacts(self) -> bool:
        """Whether `destination` keeps files."""
        return self.destination.can_log_file_artifacts()

    def upload_file(
        self, state: Any, remote_file_name: str, file_path: pathlib.Path, *, overwrite: bool
    ) -> None:
        """Log the file; later versions have no levels, so it counts as the run's."""
        self.destination.log_file_artifact(
            state, LogLevel.FIT, remote_file_name, file_path, overwrite=overwrite
        )

    def download_file(
        self,
        remote_file_name: str,
        destination: str,
        overwrite: bool = False,
        progress_bar: bool = True,
    ) -> None:
        """Fetch the file."""
        self.destination.get_file_artifact(
            remote_file_name, destination, progress_bar=progress_bar, overwrite=overwrite
        )

    def can_upload_files(self) -> bool:
        """Whether `destination` keeps files."""
        return self.destination.can_log_file_artifacts()
