"""Starts and kills the processes of one demo, and waits for the moment to do so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader import agent_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from destination.demo.workspace import Workspace

#: seconds between looks at what takes seconds, such as training
POLL_INTERVAL = 0.02
#: seconds between looks for an upload: a checkpoint of 28 MiB takes some 50 ms
STRIKE_INTERVAL = 0.001
#: for numpy's BLAS: its threads wait for each other, which costs several times what they gain where
#: other processes want the cores too, and here the uploads do
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class DemoError(Exception):
    """The demo could not be played to its end; the message says what to look at."""


@dataclass(frozen=True)
class Trainer:
    """A session of the trainer as a process of its own."""

    process: subprocess.Popen[bytes]
    session: int

    @classmethod
    def start(cls, workspace: Workspace, session: int, epochs: int) -> Trainer:
        """Start the session that is numbered `session`."""
        command = [sys.executable, "-m", "destination.demo.train"]
        arguments = [str(workspace.root), str(session), str(epochs)]
        with workspace.trainer_log.open("ab") as log:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=ONE_THREAD | os.environ,
            )
        return cls(process, session)

    def kill(self) -> None:
        """End the trainer with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def wait(self, deadline: float) -> None:
        """Wait until training is over.

        Raises:
            DemoError: it failed, or `deadline` (of `time.monotonic`) passed.
        """
        wait_until(lambda: self.process.poll() is not None, deadline, "the trainer's end")
        if self.process.returncode != 0:
            raise DemoError(f"the trainer failed with exit code {self.process.returncode}")


def kill_agent(spool: Path) -> bool:
    """End the spool's agent and its workers with SIGKILL; False when none was there."""
    owner = agent_owner(spool)
    if owner is None:
        return False
    try:
        # The agent and its workers are a process group of their own, and die as with the machine.
        os.killpg(os.getpgid(owner.pid), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_until(
    ready: Callable[[], bool], deadline: float, what: str, interval: float = POLL_INTERVAL
) -> None:
    """Wait until `ready()` is true.

    Raises:
        DemoError: `deadline` (of `time.monotonic`) passed, waiting for `what`.
    """
    while not ready():
        if time.monotonic() > deadline:
            raise DemoError(f"gave up waiting for {what}")
        time.sleep(interval)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `uploader` command line, as a person would, and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "uploader", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
