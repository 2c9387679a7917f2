"""Show a page again and again in place, on a terminal that is left as it was.

- On the terminal's other screen, as `less` and `top` do: what was on it is there again afterwards,
  however this ends: by Ctrl-C, by a signal that ends a process, or by an error.
- No thread draws: whoever looks says when. A new size of the terminal draws what is there again.
- Ctrl-Z gives the terminal back until the shell lets this go on.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import chop_cells
from rich.console import Console
from rich.live import Live
from rich.text import Text

from uploader import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import ConsoleOptions, RenderResult

ENDED_BY_SIGNAL = 128  #: plus its number: the exit code, as shells have it

_HEADINGS = ("waiting ", "under way ", "retry ")
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_WAITED_FOR = (signal.SIGTSTP, signal.SIGWINCH)


def can_draw() -> bool:
    """Tell whether stdout is a terminal that things can be drawn on."""
    console = Console()
    return console.is_terminal and not console.is_dumb_terminal


class Drawing:
    """A terminal that was taken for pages that are drawn in place."""

    def __init__(self, live: Live) -> None:
        """Draw with `live`."""
        self._live = live

    def draw(self, page: Callable[[int, int], str]) -> None:
        """Draw what `page` makes for so many columns and lines, in place of what is there."""
        with _undisturbed():
            self._live.update(_Page(page), refresh=True)

    def wait(self, seconds: float) -> None:
        """Wait; meanwhile draw again what is there when the terminal has another size."""
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            came = signal.sigtimedwait(_WAITED_FOR, left)
            if came is None:
                return
            with _undisturbed():
                if came.si_signo == signal.SIGTSTP:
                    self._live.stop()
                    os.kill(os.getpid(), signal.SIGSTOP)
                    self._live.start()
                self._live.refresh()


@contextmanager
def drawing() -> Iterator[Drawing]:
    """Take the terminal; it is given back as it was."""
    live = Live(console=Console(highlight=False), screen=True, auto_refresh=False)
    with _signals():
        try:
            with _undisturbed():
                live.start()
            yield Drawing(live)
        finally:
            with _undisturbed():
                live.stop()


@contextmanager
def _signals() -> Iterator[None]:
    """Have an end by a signal unwind, and keep the others for `wait`; then all is as before."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        raise SystemExit(ENDED_BY_SIGNAL + number)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    handlers = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals that end this wait for a moment: rich cannot be left in the middle of it."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *_ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Page:
    """A page that is made for the terminal's size whenever it is drawn; its end may not fit."""

    def __init__(self, page: Callable[[int, int], str]) -> None:
        self._page = page

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del options
        width, height = console.size
        lines = [
            Text(piece, style=_style(line), no_wrap=True, end="")
            for line in self._page(width, height).split("\n")
            for piece in chop_cells(line, width) or [""]  # as a terminal breaks it: commands stay
        ]
        if len(lines) > height:
            left = len(lines) - height + 1
            more = f"… {left} more lines: without --watch, all are shown"
            lines[height - 1 :] = [Text(more[:width], style="dim", no_wrap=True, end="")]
        yield Text("\n", end="").join(lines)


def _style(line: str) -> str:
    if line.lstrip().startswith(_HEADINGS):
        return "bold"
    if "dead letter" in line and not line.startswith(" "):
        return "bold red"
    return "red" if line.startswith("refused ") else ""
