"""Be a terminal: start a command in one, read its screen, type, and look at what it left behind.

The screen knows the sequences that our displays use, and fails at any other: what it does not know
would be shown as it does not look.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")
_PASSED = "m"  #: of no account: colours


class Screen:
    """Rows of characters, a cursor, and another screen to go to and come back from."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.cursor_shown = True
        self.elsewhere = False  #: whether the other screen is shown
        self._row = self._column = 0
        self._rows = [""] * lines
        self._kept: tuple[list[str], int, int] = ([], 0, 0)

    @property
    def text(self) -> str:
        """What is shown now."""
        return "\n".join(row.rstrip() for row in self._rows).rstrip()

    def resize(self, columns: int, lines: int) -> None:
        """Have another size; what was there stays in its corner."""
        self._rows = (self._rows + [""] * lines)[:lines]
        self.columns, self.lines = columns, lines

    def feed(self, text: str) -> str:
        """Show text; return what is the beginning of a sequence that has yet to end."""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
            elif found := _SEQUENCE.match(text, at):
                self._obey(*found.groups())
                at = found.end()
            else:
                return text[at:]
        return ""

    def _put(self, one: str) -> None:
        if one == "\r":
            self._column = 0
        elif one == "\n":
            self._down()
        elif one == "\a":
            pass
        else:
            assert one.isprintable(), repr(one)
            if self._column >= self.columns:
                self._column = 0
                self._down()
            row = self._rows[self._row].ljust(self._column)
            self._rows[self._row] = row[: self._column] + one + row[self._column + 1 :]
            self._column += 1

    def _down(self) -> None:
        if self._row < self.lines - 1:
            self._row += 1
        else:
            self._rows = [*self._rows[1:], ""]

    def _obey(self, private: str, numbers: str, letter: str) -> None:
        number = int(numbers.partition(";")[0] or 0)
        if private:
            self._set(number, on=letter == "h")
        elif letter == "A":
            self._row = max(0, self._row - (number or 1))
        elif letter == "H":
            self._row = self._column = 0
        elif letter == "J":
            keep = 0 if number == 2 else self._row
            self._rows = self._rows[:keep] + [""] * (self.lines - keep)
        elif letter == "K":
            self._rows[self._row] = "" if number == 2 else self._rows[self._row][: self._column]
        else:
            assert letter == _PASSED, (numbers, letter)

    def _set(self, number: int, *, on: bool) -> None:
        assert number in (25, 1049), number
        if number == 25:
            self.cursor_shown = on
        elif on and not self.elsewhere:
            self.elsewhere, self._kept = True, (self._rows, self._row, self._column)
            self._rows, self._row, self._column = [""] * self.lines, 0, 0
        elif not on and self.elsewhere:
            self.elsewhere = False
            rows, self._row, self._column = self._kept
            self._rows = (rows + [""] * self.lines)[: self.lines]


class Terminal:
    """A pseudo-terminal with one command in it, that has it as its controlling terminal."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], columns: int, lines: int
    ) -> None:
        self.screen = Screen(columns, lines)
        self.raw = ""  #: all that was written
        self._rest = ""
        self._master, slave = pty.openpty()
        self._size(columns, lines)
        self._before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            ["env", "--default-signal", "setsid", "--ctty", *words],
            stdin=slave, stdout=slave, stderr=slave,
            env={"TERM": "xterm-256color", **environment},
        )  # fmt: skip

    def until(self, holds: Callable[[str], object], seconds: float = 30) -> str:
        """Read until the screen is so; return its text."""
        deadline = time.monotonic() + seconds
        while not holds(self.screen.text):
            assert time.monotonic() < deadline, f"never so on the screen:\n{self.screen.text}"
            self._read(0.1)
        return self.screen.text

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Have the window made larger or smaller."""
        self.screen.resize(columns, lines)
        self._size(columns, lines)

    def ended(self, seconds: float = 30) -> int:
        """Wait until the command has ended; return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read(0.05)
        while self._read(0):
            pass
        return self.process.returncode

    def is_stopped(self) -> bool:
        """Tell whether the command is stopped, as a shell's jobs are (proc(5): state T)."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        stopped = text.rpartition(")")[2].split()[0] == "T"
        while stopped and self._read(0):
            pass
        return stopped

    def is_as_before(self) -> bool:
        """Tell whether the terminal was left as it was found."""
        modes = termios.tcgetattr(self._slave) == self._before
        return modes and self.screen.cursor_shown and not self.screen.elsewhere

    def close(self) -> None:
        """End all of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        text = os.read(self._master, 1 << 16).decode(errors="replace")
        self.raw += text
        self._rest = self.screen.feed(self._rest + text)
        return True

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
