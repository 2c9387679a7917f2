"""Hold the workers to one rate together, whatever is killed among them.

- They share 8 bytes: the time at which all that was taken so far is through. Who wants to send
  moves that time on by what his bytes cost at the rate, and sleeps until it is his turn.
- Unused time is not saved up: after a pause nobody may send faster than the rate.
- The 8 bytes are guarded by a record lock, which the kernel drops with the process that holds it. A
  semaphore of multiprocessing stays locked for ever when its holder is killed.
- They lie in memory without a name: nothing of it is left when the last process has ended.
- The bytes are taken in portions, in turn. So a worker alone has the whole rate, and of several
  that are busy each has its share.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uploader import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds of the rate in one portion. So each of 64 busy workers still sends something every 3 s:
#: services end a request whose body pauses for long (S3 with RequestTimeout).
PORTION = 0.05
MOST = 1 << 20  #: bytes in one portion: each costs the workers a lock

_TIME = struct.Struct("d")  #: monotonic seconds; CLOCK_MONOTONIC is the same in every process


def new_memory() -> int:
    """Return a descriptor of what the processes of one limit share; nothing was sent yet."""
    memory = os.memfd_create("uploader-pace")
    os.pwrite(memory, _TIME.pack(0.0), 0)
    return memory


class Pace:
    """A limit of the bytes sent, over all processes that have the same memory."""

    def __init__(
        self,
        rate: int,
        memory: int,
        *,
        now: Callable[[], float] = clock.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Send at most `rate` bytes per second, all together; `memory` is of `new_memory`.

        A record lock is its process's, so the threads of one keep each other out by another.
        """
        self._rate, self._memory = rate, memory
        self._threads = threading.Lock()
        self._now, self._sleep = now, sleep

    @property
    def portion(self) -> int:
        """How many bytes are to be taken at a time."""
        return min(MOST, max(1, int(self._rate * PORTION)))

    def take(self, size: int) -> None:
        """Wait until `size` more bytes may be sent."""
        wait = self._book(size)
        if wait > 0:
            self._sleep(wait)  # not under the lock: others book meanwhile

    def _book(self, size: int) -> float:
        """Return the seconds until it is the turn of these bytes."""
        with self._locked():
            now = self._now()
            (through,) = _TIME.unpack(os.pread(self._memory, _TIME.size, 0))
            turn = max(now, through)
            os.pwrite(self._memory, _TIME.pack(turn + size / self._rate), 0)
            return float(turn - now)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._memory, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._memory, fcntl.LOCK_UN)
