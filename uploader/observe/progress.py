"""Show how far a drain has come: bars on a terminal, a line now and then elsewhere.

Called in every turn of the supervisor's loop, so it looks at the database a few times a second at
most, and never through `Spool.changed()`: that tells each change once, and the schedule needs it.
What another process uploads is shown in the same way: all is read from the ledger.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.observer import Observer
from uploader.observe.log import NOTICE
from uploader.observe.speeds import Speed, Speeds, foremost
from uploader.observe.words import count_text, left_text, printable, size_text
from uploader.spool.status import flights
from uploader.state import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.progress import Progress

    from uploader.drain.observer import Load
    from uploader.model import InFlight
    from uploader.spool.spool import Spool

LOOK = 0.25  #: seconds between looks for a bar
LINE = 30.0  #: seconds between lines where there is no terminal
FILES = 8  #: files that have a bar of their own, where there is room
BESIDE_FILES = 5  #: lines of the terminal that are left to log lines, and to the whole
ECHO = 2  #: columns that are left free: a ^C there must not begin a new line
NARROW = 60  #: columns below which there is no room for bars

_STOPPING = (signal.SIGTSTP,)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Count:
    done: int  #: uploads that arrived since the start
    left: int  #: uploads that have yet to end
    dead: int
    sent: int  #: bytes
    total: int  #: bytes
    speed: float  #: bytes per second

    @property
    def percent(self) -> int:
        return 100 * self.sent // self.total if self.total else 100

    @property
    def uploads_text(self) -> str:
        dead = f", {count_text(self.dead, 'dead letter')}" if self.dead else ""
        return f"{self.done:,} uploaded, {self.left:,} to go{dead}"

    @property
    def text(self) -> str:
        sent = f"{size_text(self.sent)} of {size_text(self.total)} sent ({self.percent} %)"
        left = left_text(self.total - self.sent, self.speed)
        still = f", nothing in {LINE:.0f} s" if self.sent < self.total else ""
        speed = f", {size_text(self.speed)}/s, {left} left" if left else still
        return f"{self.uploads_text}; {sent}{speed}"


class DrainProgress(Observer):
    """Follows one drain; a context manager, `tick` is its one call."""

    def __init__(self, spool: Spool, *, bar: bool | None = None) -> None:
        """Begin to count.

        Args:
            spool: what is drained.
            bar: draw bars. None: if stderr is a terminal that they can be drawn on.
        """
        self._spool = spool
        self._draws = _can_draw() if bar is None else bar
        self._bars: _Bars | None = None
        self._done_before, self._bytes_before = spool.ledger.tally()[State.DONE]
        self._speed, self._speeds = Speed(), Speeds()
        self._count()
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
        """Take the bars away."""
        if self._bars:
            self._bars.stop()

    def tick(self, load: Load | None = None) -> None:
        """Show the state, if it is time to."""
        del load
        now = clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + (LOOK if self._draws else LINE)
        counted = self._count()
        if not self._draws:
            _log.log(NOTICE, "%s", counted.text)
            return
        under_way = flights(self._spool.ledger)
        self._bars = self._bars or _Bars()
        self._bars.draw(counted, under_way, self._speeds.look(now, under_way))

    def arrived(self) -> tuple[int, int]:
        """Return how many uploads, and how many bytes, arrived since the start."""
        done, size = self._spool.ledger.tally()[State.DONE]
        return done - self._done_before, size - self._bytes_before

    def _count(self) -> _Count:
        tally = self._spool.ledger.tally()
        (parts,) = self._spool.ledger.figures("parts_sent")[0]
        done, arrived = self.arrived()
        return _Count(
            done=done,
            left=sum(tally[state][0] for state in LIVE),
            dead=tally[State.DEAD][0],
            sent=arrived + parts,
            total=arrived + sum(tally[state][1] for state in LIVE),
            speed=self._speed.look(clock.monotonic(), arrived + parts),
        )


class _Bars:
    """The bars of one drain: one for all of it, and below it those of the largest files."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console(stderr=True, highlight=False)
        # No refresh thread: the loop that calls `tick` starts processes, and has no threads.
        self._live: Live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        # Ctrl-Z is met between two drawings: stopped in one, the terminal would lack its cursor.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        self._live.start()

    def draw(
        self, counted: _Count, under_way: Sequence[InFlight], speeds: dict[str, float]
    ) -> None:
        if signal.sigtimedwait(_STOPPING, 0):
            self._live.stop()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._live.start()
        width, height = self._console.size
        shown = foremost(under_way, min(FILES, height - BESIDE_FILES))
        rows = [_row("all", counted.sent, counted.total, counted.speed)]
        rows += [
            _row(one.name, one.sent, one.size, speeds.get(one.id, 0.0))
            if one.parts_total > 1
            else [one.name, "", "", size_text(one.size)]
            for one in shown
        ]
        if len(under_way) > len(shown):
            rows.append([f"and {len(under_way) - len(shown):,} more"])
        self._live.update(_table(counted.uploads_text, rows, width))
        self._live.refresh()

    def stop(self) -> None:
        self._live.stop()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _row(name: str, sent: int, size: int, speed: float) -> list[str | tuple[int, int]]:
    """Return a bar's row: name, bar, percent, size, speed, what is left of the time."""
    percent = f"{100 * sent // size if size else 0} %"
    left = left_text(size - sent, speed)
    rate = f"{size_text(speed)}/s" if speed else ""
    return [name, (sent, size), percent, size_text(size), rate, left and f"{left} left"]


def _table(
    heading: str, rows: Sequence[Sequence[str | tuple[int, int]]], width: int
) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def shown(cell: str | tuple[int, int]) -> RenderableType:
        if isinstance(cell, str):
            return Text(printable(cell, sys.stderr.encoding))
        return ProgressBar(total=max(1, cell[1]), completed=cell[0]) if with_bars else ""

    with_bars = width >= NARROW
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.width = max(1, width - ECHO)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(ratio=2 if with_bars else None)
    for _ in range(4):
        table.add_column(no_wrap=True, justify="right")
    for row in rows:
        table.add_row(*map(shown, row))
    return Group(Text(heading, no_wrap=True, overflow="ellipsis"), table)


def _can_draw() -> bool:
    """Tell whether stderr is a terminal that knows more than to write on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


@contextmanager
def transfer_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show one transfer on a terminal; elsewhere nothing. Yields what to call with its bytes."""
    if not _can_draw():
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
    draws = _can_draw()

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
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
