"""Start the agent: a supervisor of its own, that outlives the trainer.

By exec, detached, in its own session: no fork of the training process, no thread in it, nothing
that a kill of the trainer's process group reaches.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import uploader
from uploader.spool.layout import Layout, open_private
from uploader.spool.ownership import find_owner

EXIT_WHEN_IDLE = "30s"  #: the agent stays this long after its last upload, if no producer lives


def start_agent(spool: str | os.PathLike[str], *, workers: int = 4) -> bool:
    """Start an agent for a spool unless a supervisor already runs there; tell whether it did.

    It may end at once, if another process started one in the same moment; its output is in
    `SPOOL/agent.log`.
    """
    layout = Layout(Path(spool).absolute())
    layout.require()
    if find_owner(layout):
        return False
    command = [sys.executable, "-m", "uploader", "run", "--spool", str(layout.root)]
    command += ["--workers", str(workers), "--exit-when-idle", EXIT_WHEN_IDLE]
    log = open_private(layout.agent_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        # The shell ends at once, so that the agent belongs to init: it leaves no zombie behind in
        # the trainer, and nobody has to wait for it.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",  # so that it keeps no mount busy, and no module of the trainer's hides ours
            env=environment(),
        )
    finally:
        os.close(log)
    return True


def environment() -> dict[str, str]:
    """Return this process's environment, in which a child finds the same `uploader` package."""
    home = str(Path(uploader.__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{home}" if path else home}
