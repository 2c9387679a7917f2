"""Let a test kill this process at an exactly named point.

A crash test sets `UPLOADER_CRASH_AT=name` or `name:3` (the third time); the process then ends
itself there with SIGKILL, as a preemption would. `UPLOADER_CRASH_ONCE=PATH` has it happen once
over all processes: the first makes the file. Without the variables a point costs one comparison.

The names are listed here, so that a test can go through all of them, and a point that is taken out
of the code leaves a test red.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "UPLOADER_CRASH_AT"
ONCE_VARIABLE = "UPLOADER_CRASH_ONCE"

#: on the way of an artifact into the spool
SPOOL_POINTS = (
    "spool.staging-created",
    "spool.copied",
    "spool.synced",
    "spool.renamed",
    "spool.directories-synced",
    "spool.committed",
    "spool.superseded-blob-unlinked",
)

#: in the supervisor, around what it commits
SUPERVISOR_POINTS = (
    "supervisor.locked",
    "supervisor.recovered",
    "supervisor.started-upload",
    "supervisor.step-handed-out",
    "supervisor.step-answered",
    "supervisor.session-recorded",
    "supervisor.part-recorded",
    "supervisor.finish-committed",
    "supervisor.blob-unlinked",
    "supervisor.failure-recorded",
)

#: in a worker, around what becomes visible at the destination
WORKER_POINTS = (
    "worker.step-begun",
    "local.part-written",
    "local.temporary-synced",
    "local.linked",
    "local.published",
    "local.directory-synced",
    "worker.step-ended",
)

_armed, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def reached(name: str) -> None:
    """End the process with SIGKILL if the test that started it asked for that here."""
    global _left  # noqa: PLW0603  one process, one point
    if _armed and name == _armed:
        _left -= 1
        if _left == 0 and _first():
            os.kill(os.getpid(), signal.SIGKILL)


def _first() -> bool:
    path = os.environ.get(ONCE_VARIABLE)
    if not path:
        return True
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
