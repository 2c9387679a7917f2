"""Plays a scenario, or a command of `uploader`, whose every deed is recorded, or cut off.

    python -m tests.power.traced scenario NAME BASE
    python -m tests.power.traced uploader drain --spool DIR

- In a scenario it says when a call of the spool begins and returns: from its return on, and not
  before, the artifact is an obligation. With `POWER_DIARY` that goes into a file, else to the
  recorder, which is also told where in the product each fsync is called.
- With `POWER_PLUG`, a directory, its file system goes down where a crash point (`crashpoint.py`)
  would have killed the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uploader
from tests.power.plug import shut_down

PACKAGE = str(Path(uploader.__file__).parent)

DIARY = "POWER_DIARY"
PLUG = "POWER_PLUG"

_recorder = ctypes.CDLL(None)


def mark(**facts: Any) -> None:
    """Write down that something has happened, in the order of everything else."""
    line = json.dumps(facts).encode()
    if path := os.environ.get(DIARY):
        with open(path, "ab", buffering=0) as diary:
            diary.write(line + b"\n")
    else:
        _recorder.power_mark(line)


def pull_plug_at_crash_points(directory: str) -> None:
    """Have the power go where a test would have this process, or a worker of it, killed."""
    kill = os.kill

    def cut(pid: int, number: int) -> None:
        if pid == os.getpid() and number == signal.SIGKILL:
            shut_down(directory)
        kill(pid, number)

    os.kill = cut


def name_sites() -> None:
    """Have each fsync that Python calls say where."""
    os.fsync = _saying_where(os.fsync)  # type: ignore[assignment]  # the parameter's name
    os.fdatasync = _saying_where(os.fdatasync)  # type: ignore[assignment]


def _saying_where(call: Callable[[Any], None]) -> Callable[[Any], None]:
    def said(fd: Any) -> None:
        _recorder.power_site(_site().encode())
        call(fd)

    return said


def _site() -> str:
    """Return file and function of the product; not the one whose whole job is an fsync."""
    frame = sys._getframe(2)
    while frame.f_code.co_name == "sync_directory" and frame.f_back:
        frame = frame.f_back
    path = frame.f_code.co_filename.removeprefix(f"{PACKAGE}/")
    return f"{path}:{frame.f_code.co_name}"


def main(what: str, arguments: list[str]) -> int:
    """Play it."""
    if plug := os.environ.get(PLUG):
        pull_plug_at_crash_points(plug)
    if not os.environ.get(DIARY):
        name_sites()
    if what == "uploader":
        from uploader.__main__ import main as command

        sys.argv[1:] = arguments
        return command()
    from tests.power.scenarios import SCENARIOS, Play

    name, base = arguments
    SCENARIOS[name](Play(Path(base)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
