"""A monotonic clock that a test sets."""

from __future__ import annotations


class Clock:
    """Stands until a test moves it."""

    now = 1000.0  #: seconds
