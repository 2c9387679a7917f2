"""Runs a command, and tells what it and every process that came of it cost.

- Time on the clock ends with the command; what it cost is known when the last of its processes has
  ended. A process that stays is an error: its cost would be missed.
- CPU is what the kernel adds up, not samples. The meter is a process of its own that adopts what
  loses its parent (`PR_SET_CHILD_SUBREAPER`), as a fork server and its workers do when their
  supervisor ends, and waits for each. So nothing ends uncounted (getrusage(2), `RUSAGE_CHILDREN`)
  but the child of a process that ignores SIGCHLD, and none of those that are measured here does.
- Memory is the sum of the proportional set sizes (`Pss`, proc(5)) of all processes at one moment:
  a page that five workers share counts once. It is sampled, and a peak between two looks is missed.
- A look walks the page tables (9 ms for 300 MiB on a small machine) and holds up whom it looks at:
  so there are fewer of them the longer they take.
- This file is also the meter's program, and imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOOK = 0.05  #: seconds between looks at memory, at least
LOOKING = 0.02  #: share of a core that may go into looks
LONGEST = 0.5  #: seconds between looks at most, whatever they cost: 20 ms for seven processes
STAY = 10.0  #: seconds after the command within which all its processes must have ended
SHOWN = 2000  #: characters of a failed command's output that are shown
SHORT = 300  #: of these, where there is one line

_SUBREAPER = 36  #: PR_SET_CHILD_SUBREAPER of linux/prctl.h


@dataclass(frozen=True)
class Cost:
    """What a command cost."""

    seconds: float  #: on the clock, until the command itself ended
    cpu_seconds: float  #: user and system time of all its processes
    peak_bytes: int  #: of memory of all its processes; 0 if it ended before the first look


class CommandFailedError(Exception):
    """What was to be measured did not end as it should."""

    @property
    def short(self) -> str:
        """The last of what it said, on one line."""
        return " ".join(str(self).split())[-SHORT:]


def metered(
    command: Sequence[str], environment: Mapping[str, str], log: Path, stay: float = STAY
) -> Cost:
    """Run a command in this environment and no other; its output goes to the file `log`.

    Args:
        command: a program's path and its arguments.
        environment: all of it.
        log: written anew.
        stay: seconds that its other processes may stay after it.

    Raises:
        CommandFailedError: it failed, or left processes behind (which are ended).
    """
    meter = [sys.executable, "-I", "-S", __file__, str(log), str(stay), *command]
    answer = subprocess.run(
        meter, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    told = json.loads(answer.stdout)
    if "failure" in told:
        output = log.read_text(errors="replace")[-SHOWN:]
        msg = f"{told['failure']}: {' '.join(command)}\n{output}"
        raise CommandFailedError(msg)
    return Cost(**told)


def memory_of(pid: int) -> int:
    """Return the bytes of a process and all that came of it, shared pages counted once."""
    return _proportional(pid) + sum(map(_proportional, _descendants(pid)))


def main(log: str, stay: float, command: list[str]) -> None:
    """Be the meter: print what the command cost, or its failure, as JSON."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # for `_all_end`
    begun = time.perf_counter()
    pid = _start(log, command)
    try:
        peak = _watch(pid)
        seconds = time.perf_counter() - begun
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        stayed = not _all_end(stay)
    finally:
        _end_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    if status or stayed:
        how = f"ended with {status}" if status else f"left processes that stayed {stay} s"
        print(json.dumps({"failure": how}))
    else:
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak}))


def _start(log: str, command: list[str]) -> int:
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and it is inherited
    )


def _watch(pid: int) -> int:
    """Look at memory until the command ends; return the peak."""
    ended = select.poll()
    ended.register(os.pidfd_open(pid), select.POLLIN)
    peak, pause = 0, LOOK
    while not ended.poll(pause * 1000):
        begun = time.thread_time()
        peak = max(peak, sum(map(_proportional, _descendants(os.getpid()))))
        pause = min(max(LOOK, (time.thread_time() - begun) / LOOKING), LONGEST)
    return peak


def _all_end(limit: float) -> bool:
    """Wait for every process that was adopted; tell whether all ended in time."""
    until = time.monotonic() + limit
    with suppress(ChildProcessError):
        while (left := until - time.monotonic()) > 0:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                signal.sigtimedwait({signal.SIGCHLD}, left)
        return False
    return True


def _end_all() -> None:
    """Kill what is left; what a killed one leaves is adopted, and killed in the next turn."""
    with suppress(ChildProcessError):
        while True:
            for pid in _descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in _read(f"/proc/{pid}/task/{thread}/children").split():
                yield int(child)
                yield from _descendants(int(child))


def _proportional(pid: int) -> int:
    """Return the proportional set size of one process in bytes; 0 if it has just ended."""
    with suppress(OSError):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return 0


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
