"""Make training processes in miniature, each with a spool and a destination of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from destination import Event, Logger, LogLevel, ObjectStoreLogger
from destination.integrations import RunState
from tests.clock import Clock
from uploader import Spool, agent_owner, clock
from uploader.drain.run import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# An example that takes long, or is long in the making, tells of a busy machine; and two processes
# of one run would write their failures into the same place.
settings.register_profile(
    "unit", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unit")


@pytest.fixture(name="time")
def clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock that the test sets in place of the monotonic one."""
    moved = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: moved.now)
    return moved


class _Training:
    """What a training script has, and what a test asks of it."""

    def __init__(
        self, folder: pathlib.Path, *, run_name: str | None = "run", **options: Any
    ) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.spool_path = folder / "spool"
        self.state = RunState(run_name)
        settings: dict[str, Any] = {"agent": "external", "object_name": "{artifact_name}"}
        self.destination = ObjectStoreLogger(
            self.remote.as_uri(), spool=self.spool_path, **(settings | options)
        )
        self.logger = Logger(self.state, [self.destination])

    def log(self, name: str, content: bytes | str, *, overwrite: bool = False) -> None:
        """Log a file with this content, and take the file away, as a training run may."""
        path = self.folder / "source"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.logger.file_artifact(LogLevel.EPOCH, name, path, overwrite=overwrite)
        path.unlink()

    def link(self, existing: str, name: str, *, overwrite: bool = False) -> None:
        self.logger.symlink_artifact(LogLevel.EPOCH, existing, name, overwrite)

    def event(self, event: Event) -> None:
        self.destination.run_event(event, self.state, self.logger)

    def fetch(self, name: str, *, overwrite: bool = True) -> bytes:
        out = self.folder / "fetched"
        self.destination.get_file_artifact(name, str(out), overwrite=overwrite)
        return out.read_bytes()

    def fail(self, *names: str) -> None:
        """Log artifacts below `a/`, which the store refuses for good, and let them be tried."""
        self.remote.mkdir(exist_ok=True)
        (self.remote / "a").write_text("a file where a folder is needed")
        for name in names:
            self.log(name, "x")
        assert self.drain() == 3

    def drain(self, workers: int = 1) -> int:
        """Upload everything; return the exit code of `uploader drain`."""
        return drain(self.spool_path, workers=workers, timeout=30).exit_code

    def close(self) -> None:
        self.destination.close(self.state, self.logger)
        self.destination.post_close()

    def names(self) -> list[str]:
        """What was spooled, in order."""
        with Spool(self.spool_path, producer=False) as spool:
            return [upload.name for upload in spool.uploads()]

    def wait_for_agent(self) -> None:
        self.wait_until(lambda: agent_owner(self.spool_path))

    def end_agent(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the agent of the spool, if there is one, and wait until it is gone."""
        if owner := agent_owner(self.spool_path):
            os.kill(owner.pid, by)
            self.wait_until(lambda: agent_owner(self.spool_path) is None)

    def wait_until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Wait for another process: look again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to be so in time"
            time.sleep(0.01)


@pytest.fixture
def train(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., _Training]]:
    """Make training processes that share a spool; end the agent they leave, by its pid."""
    for variable in ("RANK", "UPLOADER_SPOOL"):
        monkeypatch.delenv(variable, raising=False)
    made: list[_Training] = []

    def make(**options: Any) -> _Training:
        made.append(_Training(tmp_path, **options))
        return made[-1]

    yield make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left is the business of the test that left it
        for training in made:
            training.destination.post_close()
    if made:
        made[0].end_agent()
