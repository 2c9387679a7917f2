"""Ask a store for less while it says that it is too much, and for more again when it does not.

Additive increase, multiplicative decrease (as TCP does, RFC 5681): half at a complaint, one step
more after as many successes in a row as there are steps allowed.
"""

from __future__ import annotations


class Throttle:
    """The number of steps that may be in flight."""

    def __init__(self, most: int) -> None:
        """Begin with `most`."""
        self.limit = most
        self._most = most
        self._successes = 0

    @property
    def lowered(self) -> bool:
        """Whether fewer are allowed than at the beginning."""
        return self.limit < self._most

    def complained(self) -> None:
        """Take note of a throttled step."""
        self.limit = max(1, self.limit // 2)
        self._successes = 0

    def succeeded(self) -> None:
        """Take note of a step that went well."""
        self._successes += 1
        if self._successes >= self.limit and self.limit < self._most:
            self.limit += 1
            self._successes = 0
