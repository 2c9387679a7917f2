"""Show how far a drain has come: a bar on a terminal, a line now and then elsewhere.

Called in every turn of the supervisor's loop, so it looks at the database a few times a second at
most, and never through `Spool.changed()`: that tells each change once, and the schedule needs it.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader import clock
from uploader.observe.log import NOTICE
from uploader.state import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from rich.progress import Progress

    from uploader.spool.spool import Spool

LOOK = 0.25  #: seconds between looks for a bar
LINE = 30.0  #: seconds between lines where there is no terminal

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Count:
    done: int  #: uploads that arrived since the start
    left: int  #: uploads that have yet to end
    dead: int
    sent: int  #: bytes
    total: int  #: bytes

    @property
    def text(self) -> str:
        dead = f", {self.dead} dead letters" if self.dead else ""
        percent = 100 * self.sent // self.total if self.total else 100
        return f"{self.done} uploaded, {self.left} to go ({percent} % of the bytes sent){dead}"


class DrainProgress:
    """Follows one drain; a context manager, `tick` is its one call."""

    def __init__(self, spool: Spool, *, bar: bool | None = None) -> None:
        """Begin to count.

        Args:
            spool: what is drained.
            bar: draw a bar. None: if stderr is a terminal.
        """
        self._spool = spool
        self._draws = sys.stderr.isatty() if bar is None else bar
        self._bar: Progress | None = None
        self._done_before, self._bytes_before = spool.ledger.tally()[State.DONE]
        self._look_at = clock.monotonic() + (LOOK if self._draws else LINE)

    def __enter__(self) -> DrainProgress:  # noqa: PYI034  Self is newer than Python 3.10
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def tick(self) -> None:
        """Show the state, if it is time to."""
        now = clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + (LOOK if self._draws else LINE)
        counted = self._count()
        if self._draws:
            self._draw(counted)
        else:
            _log.log(NOTICE, "%s", counted.text)

    def arrived(self) -> tuple[int, int]:
        """Return how many uploads, and how many bytes, arrived since the start."""
        done, size = self._spool.ledger.tally()[State.DONE]
        return done - self._done_before, size - self._bytes_before

    def _count(self) -> _Count:
        tally = self._spool.ledger.tally()
        sent = sum(size for _, size in self._spool.ledger.progress().values())
        done, arrived = self.arrived()
        return _Count(
            done=done,
            left=sum(tally[state][0] for state in LIVE),
            dead=tally[State.DEAD][0],
            sent=arrived + sent,
            total=arrived + sum(tally[state][1] for state in LIVE),
        )

    def _draw(self, counted: _Count) -> None:
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.start()
            self._bar.add_task("")
        self._bar.update(
            self._bar.task_ids[0],
            description=counted.text,
            completed=counted.sent,
            total=counted.total,
        )
        self._bar.refresh()


@contextmanager
def transfer_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show one transfer on a terminal; elsewhere nothing. Yields what to call with its bytes."""
    if not sys.stderr.isatty():
        yield lambda sent, total: None  # noqa: ARG005
        return
    with _new_bar() as bar:
        task = bar.add_task(name)
        drawn_at = 0.0

        def show(sent: int, total: int) -> None:
            nonlocal drawn_at
            bar.update(task, completed=sent, total=total)
            if clock.monotonic() - drawn_at > LOOK:
                drawn_at = clock.monotonic()
                bar.refresh()

        yield show


@contextmanager
def counting_progress(what: str) -> Iterator[Callable[[str], None]]:
    """Count what is done on a terminal; a line now and then elsewhere. Yields what to call."""
    count, shown_at = 0, clock.monotonic()
    draws = sys.stderr.isatty()

    def show(name: str) -> None:
        nonlocal count, shown_at
        count += 1
        if clock.monotonic() - shown_at < (LOOK if draws else LINE):
            return
        shown_at = clock.monotonic()
        if draws:
            sys.stderr.write(f"\r{what} {count}")
        else:
            _log.log(NOTICE, "%s %d, now at %s", what, count, name)

    yield show
    if draws:
        sys.stderr.write("\r\033[K")


def _new_bar() -> Progress:
    # No refresh thread: the loop that calls `tick` starts processes, and has no threads.
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
