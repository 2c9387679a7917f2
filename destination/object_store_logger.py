"""Logs file artifacts to an object store through a crash-safe spool on the local disk.

- When a log call returns, the artifact is in the spool, durable; the upload happens in other
  processes. Nothing of the training process takes part in it: no fork, no threads, no cloud SDK.
- The spool is opened at `Event.INIT` or at the first use, whichever comes first, and not when the
  logger is made, so that a logger that was not used yet can be sent to another process.
- Any number of ranks share one spool on a node, each with a logger of its own.
- Artifacts are accepted until `post_close()`, because other loggers log their last in `close()`.
- A remote failure neither blocks nor ends training unless `on_upload_failure="raise"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination import artifact_name as names
from destination.agent_keeper import AgentKeeper
from destination.failure_report import FailureReport
from destination.logger_destination import FETCH_CHUNK_SIZE, LoggerDestination, LogLevel, State
from destination.object_name import SYMLINK_SUFFIX, ObjectName, symlink_target
from destination.spool_session import SpoolSession

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Callable, Mapping
    from typing import Literal

    from destination.logger import Logger


class ObjectStoreLogger(LoggerDestination):
    """Uploads file artifacts and symlinks to `destination`.

    Args:
        destination: URL of a store: `s3://bucket/prefix`, `gs://bucket/prefix`, `file:///path`.
        spool: directory on a local disk; by default `$UPLOADER_SPOOL`, else one for this
            destination below `$XDG_STATE_HOME/uploader` (`~/.local/state/uploader`).
        object_name: how an artifact's name becomes an object's. Placeholders: `{artifact_name}`,
            `{run_name}`, and those of the process (`{rank}` ...). It holds for files, symlinks,
            the symlinks' targets, and `get_file_artifact`.
        should_log_artifact: called with `(state, log_level, artifact_name)`; False leaves the
            artifact out. For a symlink it is asked about the name of the *existing* artifact, as
            Composer does: what was left out needs no symlink.
        num_concurrent_uploads: worker processes of the agent that this logger starts.
        agent: "auto" starts an agent where none runs; "external" leaves the uploading to a sidecar
            or to `uploader drain`.
        on_upload_failure: "warn", or "raise" a RuntimeError at the next BATCH_END, EPOCH_END or
            FIT_END after an upload of this run and rank ended dead.
        close_timeout: seconds that `post_close` may wait for the uploads of this run and rank;
            None does not wait and leaves them to the agent.
        options: the spool's non-secret options (part size, symlink mode, ...), for when it is made.
        max_bytes: how large the spool may grow, in bytes; None: as large as its disk allows.
        when_full: "raise" a SpoolFullError, or "block" until uploads made room.

    Raises:
        ValueError: an argument that is none of those values.
    """

    def __init__(
        self,
        destination: str,
        *,
        spool: str | os.PathLike[str] | None = None,
        object_name: str = "{run_name}/{artifact_name}",
        should_log_artifact: Callable[[State, LogLevel, str], bool] | None = None,
        num_concurrent_uploads: int = 4,
        agent: Literal["auto", "external"] = "auto",
        on_upload_failure: Literal["warn", "raise"] = "warn",
        close_timeout: float | None = None,
        options: Mapping[str, str | int] | None = None,
        max_bytes: int | None = None,
        when_full: Literal["raise", "block"] = "raise",
    ) -> None:
        _check_choice("agent", agent, ("auto", "external"))
        _check_choice("on_upload_failure", on_upload_failure, ("warn", "raise"))
        _check_choice("when_full", when_full, ("raise", "block"))
        if num_concurrent_uploads < 1:
            raise ValueError(
                f"num_concurrent_uploads must be at least 1, not {num_concurrent_uploads}"
            )
        if close_timeout is not None and not close_timeout >= 0:
            raise ValueError(f"close_timeout must be 0 or more seconds, not {close_timeout}")
        self.destination, in_query, self.spool_path = _places(destination, spool)
        self.close_timeout = close_timeout
        self._object_name = ObjectName(object_name)
        self._should_log_artifact = should_log_artifact
        self._options = {**in_query, **(options or {})}
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._failures = FailureReport(raises=on_upload_failure == "raise")
        self._agent = (
            AgentKeeper(self.spool_path, num_concurrent_uploads) if agent == "auto" else None
        )
        self._run_name: str | None = None
        self._session: SpoolSession | None = None
        self._initialised = False
        self._closed = False

    def init(self, state: State, logger: Logger) -> None:
        """Learn the run's name and open the spool.

        Raises:
            RuntimeError: a second INIT before `post_close()`.
            SpoolError: the spool is another destination's, or cannot be used.
        """
        if self._initialised:
            raise RuntimeError("the ObjectStoreLogger is already initialised; INIT comes once")
        self._closed = False
        self._run_name = names.known_run_name(state, logger)
        self._open().run = self._run_name or ""  # the first use may have come before, nameless
        self._initialised = True

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: pathlib.Path,
        *,
        overwrite: bool,
    ) -> None:
        """Spool the file as it is now; durable on return.

        A name that ends in `.symlink` is how later Composer versions log a symlink: it is spooled
        as one, and the file's text is the artifact name of its target.

        Raises:
            FileExistsError: not `overwrite`, and an artifact of that name is still to be uploaded.
            ValueError: a name that the destination cannot have.
            SpoolFullError: no room, with `when_full="raise"`.
            OSError: a file that is missing, not a regular file, unreadable or being written to.
        """
        if not self._wants(state, log_level, artifact_name):
            return
        if artifact_name.endswith(SYMLINK_SUFFIX):
            target = symlink_target(file_path)
            link_name = artifact_name.removesuffix(SYMLINK_SUFFIX)
            self._put_symlink(state, target, link_name, overwrite=overwrite)
            return
        session = self._open(state)
        session.put_file(self._name_of(artifact_name), file_path, overwrite=overwrite)

    def log_symlink_artifact(
        self,
        state: State,
        log_level: LogLevel,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        """Spool a symlink; it becomes visible after its target did.

        Raises:
            FileExistsError: not `overwrite`, and an artifact of that name is still to be uploaded.
            ValueError: a name that the destination cannot have.
        """
        if self._wants(state, log_level, existing_artifact_name):
            self._put_symlink(
                state, existing_artifact_name, symlink_artifact_name, overwrite=overwrite
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
        """Fetch an artifact of this run, following symlinks; the spool's own newer copy first.

        A name that ends in `.symlink` is followed as the symlink without that ending, since that is
        how it was logged. `chunk_size` and `progress_bar` are the interface's: the store chooses
        its own chunks, and nothing is drawn.

        Raises:
            FileNotFoundError: no such artifact.
            FileExistsError: `destination` exists, and not `overwrite`.
            RuntimeError: the run's name is needed and not known yet.
        """
        name = self._name_of(artifact_name.removesuffix(SYMLINK_SUFFIX))
        self._open()
        from uploader import fetch

        fetch(self.spool_path, name, destination, overwrite=overwrite)

    def get_uri_for_artifact(self, artifact_name: str) -> str:
        """Return the URL of the artifact's object; a symlink's is that of its plain name.

        Raises:
            RuntimeError: the run's name is needed and not known yet.
        """
        return f"{self.destination.rstrip('/')}/{self._name_of(artifact_name)}"

    def can_log_file_artifacts(self) -> bool:
        """File artifacts are kept here."""
        return True

    def batch_end(self, state: State, logger: Logger) -> None:
        """Report failures, and see that the agent still runs."""
        self._check()

    def epoch_end(self, state: State, logger: Logger) -> None:
        """Report failures, and see that the agent still runs."""
        self._check()

    def fit_end(self, state: State, logger: Logger) -> None:
        """Report failures, and see that the agent still runs."""
        self._check()

    def flush(self, timeout: float) -> bool:
        """Wait until all that this run and rank logged has arrived; tell whether it has.

        For the end of a grace, after the last checkpoint: an agent is started where none runs.
        Call it from the training loop, not from a signal handler, which may have cut into a log
        call. A remote failure is never an error here, unless `on_upload_failure="raise"`.

        Args:
            timeout: seconds to wait at most.

        Raises:
            ValueError: a negative `timeout`.
            RuntimeError: an upload ended dead, if failures are to raise; or `post_close()` was
                called before.
        """
        if not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, not {timeout}")
        return self._open().flush(timeout)

    def post_close(self) -> None:
        """Wait within `close_timeout`, say what is left, and let the spool go; never raises for it.

        Nothing is accepted from here on, until another INIT.
        """
        session, self._session = self._session, None
        self._initialised, self._closed = False, True
        if session is not None:
            session.close(self.close_timeout)

    def _open(self, state: State | None = None) -> SpoolSession:
        if self._closed:
            raise RuntimeError("the ObjectStoreLogger is closed: post_close() was called")
        self._run_name = self._run_name or names.known_run_name(state)
        if self._session is None:
            from uploader import Spool
            from uploader.config import from_environment

            spool = Spool(
                self.spool_path,
                destination=self.destination,
                options=self._options,
                environment=from_environment(),
                max_bytes=self._max_bytes,
                when_full=self._when_full,
            )
            self._session = SpoolSession(spool, self._run_name or "", self._failures, self._agent)
            self._session.begin()
        return self._session

    def _wants(self, state: State, log_level: LogLevel, artifact_name: str) -> bool:
        return self._should_log_artifact is None or self._should_log_artifact(
            state, log_level, artifact_name
        )

    def _put_symlink(self, state: State, existing: str, name: str, *, overwrite: bool) -> None:
        session = self._open(state)
        session.put_symlink(self._name_of(existing), self._name_of(name), overwrite=overwrite)

    def _name_of(self, artifact_name: str) -> str:
        return self._object_name.of(artifact_name, self._run_name)

    def _check(self) -> None:
        if self._session is not None:
            self._session.check()


def _places(
    destination: str, spool: str | os.PathLike[str] | None
) -> tuple[str, Mapping[str, str], pathlib.Path]:
    """Return the destination, the options in its query, and the spool's directory."""
    from pathlib import Path

    from uploader import url
    from uploader.config import default_spool

    parsed = url.parse(destination)
    whole = str(parsed)
    return whole, parsed.options, Path(spool or default_spool(whole)).absolute()


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{argument} must be {allowed}, not {value!r}")
