"""Hold the supervisor's lock: one consumer a spool, until its last worker is gone.

- The lock is an `flock` on `supervisor.lock`. It belongs to the open file, which each worker
  inherits: after a SIGKILL of the supervisor the next one waits until no worker of the old one is
  left. Without that fence a late worker can put an old version over a new one.
- The file's text says who holds it, for people and for `status`; the lock, not the text, decides.
  A pid means something within one container; between containers the lock is looked at.
- The agent leaves only while it holds `producers.lock` alone: a producer either sees the agent
  that will take its artifact, or sees none and starts one.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from uploader import clock
from uploader.spool.layout import Layout, let_go, open_lock, room_named, try_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REFUSAL = 300  #: characters of the destination's words that are kept
MAX_SPEEDS = 8  #: uploads whose speed is kept: more than are sent in parts at a time
RECORD = 2800  #: bytes of the lock's text; JSON may take six for a character
STALE_RATE = 10.0  #: seconds after which a written throughput no longer says anything


@dataclass(frozen=True)
class Owner:
    """The live supervisor of a spool."""

    pid: int
    started: int  #: clock ticks from boot to its start: a pid alone may be another process's by now
    workers: int
    bytes_per_second: float = 0.0
    updated_at: float = 0.0
    refusal: str | None = None  #: why the destination does not let us write, in its own words
    refusals: int = 0  #: how often it did not, since the supervisor began
    each: Mapping[str, float] = field(default_factory=dict)  #: bytes per second of uploads, by id
    among: str = ""  #: the namespace that its pid is of: a container has one of its own

    @property
    def throughput(self) -> float:
        """Bytes per second over the last seconds; 0 if nothing was sent lately."""
        return self.bytes_per_second if self._is_fresh else 0.0

    @property
    def speeds(self) -> Mapping[str, float]:
        """The same of uploads that are sent in parts, by id."""
        return self.each if self._is_fresh else {}

    @property
    def _is_fresh(self) -> bool:
        return clock.now() - self.updated_at < STALE_RATE


class SupervisorLock:
    """The right to consume one spool's journal."""

    def __init__(self, layout: Layout) -> None:
        """Open the lock file; nothing is held yet."""
        self._layout = layout
        with room_named(layout.root):
            self.descriptor = open_lock(layout.supervisor_lock)
        self._owner: Owner | None = None

    def try_acquire(self, workers: int) -> bool:
        """Take the lock if it is free; tell whether it was."""
        with room_named(self._layout.supervisor_lock):
            if not try_lock(self.descriptor):
                return False
        pid = os.getpid()
        self._write(Owner(pid, process_start(pid) or 0, workers, among=_namespace()))
        return True

    def report(
        self,
        bytes_per_second: float,
        refusal: str | None,
        refusals: int = 0,
        each: Mapping[str, float] | None = None,
    ) -> None:
        """Write how fast it goes, and whether the destination refuses, for whoever watches.

        Uploads do not end because it cannot be written.
        """
        if self._owner:
            with suppress(OSError):
                self._write(
                    replace(
                        self._owner,
                        bytes_per_second=bytes_per_second,
                        updated_at=clock.now(),
                        refusal=refusal and refusal[:MAX_REFUSAL],
                        refusals=refusals,
                        each=dict(list((each or {}).items())[:MAX_SPEEDS]),
                    )
                )

    def release(self) -> None:
        """Let go; workers that still live go on holding it."""
        with suppress(OSError):  # the lock decides, not the text
            if self._owner:
                os.ftruncate(self.descriptor, 0)
        let_go(self.descriptor)

    def _write(self, owner: Owner) -> None:
        text = json.dumps(vars(owner)).ljust(RECORD)  # one write of one length: no reader sees half
        with room_named(self._layout.supervisor_lock):
            os.pwrite(self.descriptor, text.encode(), 0)
        self._owner = owner


def find_owner(layout: Layout) -> Owner | None:
    """Return the live supervisor of a spool, or None."""
    try:
        said = _read(layout.supervisor_lock)
        owner = Owner(**json.loads(said)) if said.strip() else None
        if owner and owner.pid > 0 and _lives(owner, layout):
            return replace(
                owner,
                workers=int(owner.workers),
                bytes_per_second=float(owner.bytes_per_second),
                updated_at=float(owner.updated_at),
                refusal=None if owner.refusal is None else str(owner.refusal),
                refusals=int(owner.refusals),
                among=str(owner.among),
                each={str(key): float(value) for key, value in dict(owner.each).items()},
            )
    except (OSError, ValueError, TypeError, RecursionError, OverflowError):
        return None  # it is nothing that a supervisor of ours wrote
    return None


def _lives(owner: Owner, layout: Layout) -> bool:
    """Tell whether a supervisor lives; of one in another container only its lock can be seen."""
    if owner.among in ("", _namespace()):
        return process_start(owner.pid) == owner.started
    descriptor = os.open(layout.supervisor_lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        let_go(descriptor)


def _namespace() -> str:
    """Return what tells this process's pids from those of another container; "" if nobody knows."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _read(path: Path) -> bytes:
    """Return what a lock says; nothing is followed, waited for, or read for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 2 * RECORD)
    finally:
        let_go(descriptor)


def process_start(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is none.

    Source: proc(5), /proc/pid/stat, field 22; the command in field 2 may hold spaces and brackets.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class ProducerLock:
    """A shared hold that says: a producer lives, the agent should stay."""

    def __init__(self, layout: Layout) -> None:
        """Take the hold (it waits for an agent that is just leaving)."""
        with room_named(layout.root):
            self._descriptor = open_lock(layout.producers_lock)
        try:
            with room_named(layout.producers_lock):
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        except BaseException:
            let_go(self._descriptor)
            raise

    def release(self) -> None:
        """Let go."""
        let_go(self._descriptor)


def no_producer_lives(layout: Layout) -> int | None:
    """Return a descriptor that keeps producers out if none lives, else None."""
    descriptor = open_lock(layout.producers_lock)
    if try_lock(descriptor):
        return descriptor
    let_go(descriptor)
    return None


def agent_owner(path: str | os.PathLike[str]) -> Owner | None:
    """Return the live supervisor (agent or drain) of the spool at `path`, or None."""
    return find_owner(Layout(Path(path)))
