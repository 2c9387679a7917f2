"""Write sizes, spans, counts and commands as people read them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")
_FOUR_DIGITS = 1000  #: the next unit is taken before a number has so many
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))
_CONTINUED = "…"


def size_text(size: float) -> str:
    """Return bytes as people write them: `512 bytes`, `3.4 GiB`."""
    power = 0
    while size >= _FOUR_DIGITS and power < len(_SIZES) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.0f} {_SIZES[0]}" if not power else f"{size:.1f} {_SIZES[power]}"


def to_go_text(pending: int, sent: int) -> str:
    """Return the bytes that have yet to arrive: `40.0 MiB`, `37.0 MiB of 40.0 MiB`."""
    return f"{size_text(pending)} of {size_text(pending + sent)}" if sent else size_text(pending)


def span_text(seconds: float) -> str:
    """Return a duration as people write it: `4.2 s`, `3 h`."""
    return next(
        (f"{seconds / unit:.1f} {name}" for unit, name in _SPANS if seconds >= unit),
        f"{seconds:.1f} s",
    )


def count_text(number: int, what: str) -> str:
    """Return `1 upload`, `1,200 uploads`."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def left_text(size: int, speed: float) -> str:
    """Return how long `size` bytes will take at `speed` bytes per second; "" if it stands still."""
    return span_text(size / speed) if speed >= 1 else ""


def command_text(command: str, spool: str | Path, *arguments: str) -> str:
    """Return a command line that can be pasted into a shell."""
    return shlex.join(["uploader", command, "--spool", str(spool), *arguments])


def in_line(text: str) -> str:
    """Return text without line ends."""
    return " ".join(text.split())


def printable(text: str, encoding: str | None = None) -> str:
    """Return text that no terminal and no encoding (of stdout, if not said) can be hurt by."""
    encoding = encoding or sys.stdout.encoding or "utf-8"
    if not text.isprintable():
        text = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def shortened(text: str, width: int) -> str:
    """Return text of at most `width` characters; what is left out is left out in the middle."""
    if len(text) <= width:
        return text
    kept = max(0, width - len(_CONTINUED))
    return text[: kept // 3] + _CONTINUED + text[len(text) - (kept - kept // 3) :]
