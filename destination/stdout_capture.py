"""Copies what a process prints, line by line.

- Only whole lines are passed on, each once: `print("a", "b")` is several writes. What has no end of
  line yet waits, up to `MAX_PARTIAL` characters (a progress bar may never end its line).
- Each thread's lines are put together on their own, without a lock: one that is held while the
  process forks would hang the child's first print.
- The stream itself stays the same object and still prints; only its `write` is wrapped.
- `close()` takes the wrapper off; where somebody wrapped it again meanwhile, ours stays in the
  chain and does nothing any more.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PARTIAL = 8192  #: characters; far more than a terminal line


class StreamCapture:
    """Passes each line that is written to `stream` on to `take`, without its end of line."""

    def __init__(self, stream: TextIO, take: Callable[[str], None]) -> None:
        self._stream = stream
        self._take = take
        self._partial: dict[int, str] = {}
        self._busy: set[int] = set()
        self._open = True
        self._write = stream.write
        self._wrapper = self._tee
        stream.write = self._wrapper  # type: ignore[method-assign]

    def close(self) -> None:
        """Stop, and pass on a last line that had no end."""
        if not self._open:
            return
        self._open = False
        if self._stream.write == self._wrapper:
            self._stream.write = self._write  # type: ignore[method-assign]
        for text in self._partial.values():
            self._take(text)
        self._partial.clear()

    def _tee(self, text: str) -> int:
        # Taking a line may itself print (a warning, a full disk): that must not come back here.
        thread = get_ident()
        if self._open and thread not in self._busy:
            self._busy.add(thread)
            try:
                self._pass_on(thread, text)
            finally:
                self._busy.discard(thread)
        return self._write(text)

    def _pass_on(self, thread: int, text: str) -> None:
        *lines, partial = (self._partial.pop(thread, "") + text).split("\n")
        if len(partial) > MAX_PARTIAL:
            lines.append(partial)
        elif partial:
            self._partial[thread] = partial
        for line in lines:
            self._take(line)
