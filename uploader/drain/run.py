"""Drain a spool from Python: the command line in a process of its own.

A process, because the caller may be a training script: nothing is forked from it, no module of it
is imported again by a worker, and no thread is started in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uploader.drain.agent import environment
from uploader.errors import UploaderError

if TYPE_CHECKING:
    import os


@dataclass(frozen=True)
class DrainReport:
    """How a drain ended."""

    exit_code: int  #: as `uploader drain` exits; 0: everything arrived
    ending: str  #: empty, deadline, interrupted or refused
    reason: str | None  #: why the destination refused
    status: dict[str, Any]  #: as `uploader status --json`

    @property
    def complete(self) -> bool:
        """Whether everything arrived."""
        return self.exit_code == 0

    @property
    def done(self) -> int:
        """How many uploads arrived, over the spool's life."""
        return int(self.status["counts"]["done"])

    @property
    def dead(self) -> list[dict[str, Any]]:
        """The dead letters: id, name, error_class, error."""
        return list(self.status["dead"])

    @property
    def pending(self) -> int:
        """How many uploads have yet to end."""
        return int(self.status["counts"]["ready"]) + int(self.status["counts"]["active"])


def drain(
    spool: str | os.PathLike[str], *, workers: int = 4, timeout: float | None = None
) -> DrainReport:
    """Upload everything that is in a spool; return how it ended.

    Args:
        spool: the spool's directory.
        workers: how many processes upload.
        timeout: seconds after which it stops; None: when everything has ended.

    Raises:
        UploaderError: it could not run at all; the message is the command's.
    """
    command = [sys.executable, "-m", "uploader", "drain", "--json", "--spool", str(spool)]
    command += ["--workers", str(workers)]
    if timeout is not None:
        command += ["--timeout", f"{timeout:.3f}s"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    try:
        report = json.loads(ended.stdout)
    except ValueError as error:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise UploaderError(lines[-1]) from error
    return DrainReport(ended.returncode, report["ending"], report["reason"], report["status"])
