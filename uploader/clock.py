"""Tell the time, and read and write durations as people type them."""

from __future__ import annotations

import re
import time

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 1000 * 366 * 86400.0  #: seconds; beyond it dates, and the arguments of waits, overflow
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def now() -> float:
    """Return wall-clock seconds since the epoch: for what is stored and shown."""
    return time.time()


def monotonic() -> float:
    """Return seconds that never jump: for deadlines and intervals inside one process."""
    return time.monotonic()


def parse_duration(text: str) -> float:
    """Return the seconds in `90`, `25s`, `10m`, `1h30m`; `ValueError` says what is expected."""
    text = text.strip().lower()
    matches = list(_DURATION.finditer(text))
    if not matches or "".join(match[0] for match in matches) != text:
        msg = (
            f"not a duration: {text!r}; write seconds, or a number with ms, s, m, h or d, as 1h30m"
        )
        raise ValueError(msg)
    seconds = sum(float(match[1]) * _UNITS[match[2] or "s"] for match in matches)
    if seconds > LONGEST:
        msg = f"not a duration: {text[:40]!r}; the longest is a thousand years"
        raise ValueError(msg)
    return seconds
