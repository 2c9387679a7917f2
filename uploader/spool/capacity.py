"""Keep the spool within its limits: say at once that it is full, or wait for room.

- The sum of what is pending and dead is bounded by `max_bytes`: checked before the copy, and again
  by the database in the commit, so that two ranks cannot pass it together.
- The disk keeps `min_free_bytes` free, for everything else that lives on it.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from uploader import clock
from uploader.errors import SpoolFullError
from uploader.state import HOLDS_BYTES

if TYPE_CHECKING:
    from uploader.spool.layout import Layout
    from uploader.spool.ledger import Ledger
    from uploader.spool.remembered import Remembered

WhenFull = Literal["raise", "block"]

MIN_FREE_BYTES = 64 << 20  #: bytes left free by default: the database must always be able to commit
POLL = 0.1  #: seconds between looks while waiting for room
PAUSE = 2.0  #: seconds before a copy is made again that turned out to have no room
REMIND = 60.0  #: seconds between log lines while waiting

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capacity:
    """What a spool may hold, and what a producer does when it is full."""

    layout: Layout
    ledger: Ledger
    max_bytes: int | None
    min_free_bytes: int
    when_full: WhenFull

    @classmethod
    def of(
        cls, layout: Layout, ledger: Ledger, remembered: Remembered, when_full: WhenFull
    ) -> Capacity:
        """Return it with the limits that the spool remembers."""
        kept_free = remembered.number("min_free_bytes")
        return cls(
            layout,
            ledger,
            remembered.number("max_bytes"),
            MIN_FREE_BYTES if kept_free is None else kept_free,
            when_full,
        )

    def admit(self, path: str, size: int, replaces: str | None) -> None:
        """Return once there is room for `size` bytes.

        `replaces` is the name whose ready versions a new one will supersede: their room counts.

        Raises:
            SpoolFullError: there is none and `when_full` is "raise", or there can never be.
        """
        if self.max_bytes is not None and size > self.max_bytes:
            msg = (
                f"{path} has {size} bytes; the spool's limit is {self.max_bytes} in all: "
                "raise max_bytes"
            )
            raise SpoolFullError(msg)
        lack = self.lack(size, replaces)
        if lack and self.when_full == "raise":
            msg = f"the spool {self.layout.root} is full: {lack}; {self.advice()}"
            raise SpoolFullError(msg)
        if lack:
            self._wait(path, size, replaces)

    def refused(self, path: str, error: SpoolFullError) -> None:
        """Return when it is worth trying again, after there was too little room all the same.

        Another rank took it between the look and the commit, or the disk has a quota. Raises
        `error` unless `when_full` is "block".
        """
        if self.when_full == "raise":
            raise error
        _log.warning("waiting for room in the spool for %s: %s", path, error)
        time.sleep(PAUSE)

    def lack(self, size: int, replaces: str | None = None) -> str | None:
        """Say what there is too little of for `size` more bytes; None if nothing."""
        if self.max_bytes is not None:
            held = self.held()
            held -= self.ledger.replaceable_bytes(replaces) if replaces else 0
            if held + size > self.max_bytes:
                return (
                    f"{held} bytes wait in it, {size} more would pass its limit of {self.max_bytes}"
                )
        free = self.free()
        if free - size < self.min_free_bytes:
            return (
                f"its disk has {free} bytes free, {size} more would leave under "
                f"{self.min_free_bytes}"
            )
        return None

    def held(self) -> int:
        """Return the bytes that wait in the spool, dead letters included."""
        tally = self.ledger.tally()
        return sum(tally[state][1] for state in HOLDS_BYTES)

    def free(self) -> int:
        """Return the bytes that the spool's disk has free for us."""
        disk = os.statvfs(self.layout.root)
        return disk.f_bavail * disk.f_frsize

    def advice(self) -> str:
        """Return the commands that make room."""
        spool = self.layout.root
        return (
            f"see what waits with: uploader status --spool {spool}; upload it with: "
            f"uploader drain --spool {spool}"
        )

    def _wait(self, path: str, size: int, replaces: str | None) -> None:
        reminded = -REMIND
        while lack := self.lack(size, replaces):
            if clock.monotonic() - reminded > REMIND:
                reminded = clock.monotonic()
                _log.warning(
                    "waiting for room in the spool for %s: %s; %s", path, lack, self.advice()
                )
            time.sleep(POLL)
