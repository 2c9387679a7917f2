"""Finds the processes of a spool's supervisor, so that they can be killed by pid."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploader import agent_owner

if TYPE_CHECKING:
    from uploader.drain.pool import WorkerPool


def wait_until_loaded(pool: WorkerPool[Any]) -> None:
    """Have a pool load what its workers need: from then on a step that it is given is begun."""
    pool.warm_up()
    wait(pool._server.awaited)
    assert pool._server.is_ready


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        lists = [(task / "children").read_text() for task in tasks]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def workers_of(supervisor: int) -> list[int]:
    """Return the worker processes: they are children of the supervisor's fork server."""
    return [worker for server in children_of(supervisor) for worker in children_of(server)]


def workers_at_large(supervisor: int) -> list[int]:
    """Return the workers, those too whose fork server was killed: nobody's children, but forks."""
    command = _command_of(supervisor)
    near = {supervisor, *children_of(supervisor)}
    pids = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()}
    return [pid for pid in sorted(pids - near) if command and _command_of(pid) == command]


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def supervisor_of(spool: Path) -> int | None:
    """Return the pid of the live supervisor of a spool."""
    owner = agent_owner(spool)
    return owner.pid if owner else None


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a process a signal, SIGKILL by default; tell whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
