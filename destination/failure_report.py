"""Reports dead letters to the training run that logged them.

- Once for each death: an upload that is retried and dies again is reported again.
- Those of this run and rank only; other ranks report their own.
- "raise" is about this process's life: what was dead before it opened the spool is a warning. Else
  a run that restarts after a failure would be ended by that failure at its first batch, each time.
- Cheap where nothing happened: `Spool.changed()` is one PRAGMA.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from destination.commands import retry_command

if TYPE_CHECKING:
    from uploader import Spool, Upload

log = logging.getLogger(__name__)


class FailureReport:
    """Tells of uploads that ended dead.

    Args:
        raises: whether a new death is an error; otherwise it is a warning.
    """

    def __init__(self, *, raises: bool) -> None:
        self._raises = raises
        self._told: set[tuple[str, float | None]] = set()

    def begin(self, spool: Spool, run: str, rank: int) -> None:
        """Warn of what was dead before this process; `check` tells of what dies from now on."""
        spool.changed()  # before the look, or a death between the two would never be told
        self._warn(spool, self._news(spool.dead_letters(run=run, rank=rank)))

    def check(self, spool: Spool, run: str, rank: int) -> None:
        """Report what died since the last call.

        Raises:
            RuntimeError: with the store's own message, if failures are to raise.
        """
        if not spool.changed():
            return
        news = self._news(spool.dead_letters(run=run, rank=rank))
        if news and self._raises:
            raise RuntimeError("\n".join(describe(spool, upload) for upload in news))
        self._warn(spool, news)

    def _warn(self, spool: Spool, news: list[Upload]) -> None:
        # All to the log first: where warnings are errors, the first one ends this.
        for upload in news:
            log.warning("%s", describe(spool, upload))
        for upload in news:
            warnings.warn(describe(spool, upload), RuntimeWarning, stacklevel=3)

    def _news(self, dead: list[Upload]) -> list[Upload]:
        news = [upload for upload in dead if _death(upload) not in self._told]
        self._told = {_death(upload) for upload in dead}
        return news


def describe(spool: Spool, upload: Upload) -> str:
    """Say what failed, why, and what to do."""
    what = f"artifact {upload.name!r} was not uploaded to {spool.destination}: {upload.error}"
    if upload.error_class == "damaged":  # its bytes are lost; the error says what to do
        return what
    return (
        f"{what}; it is kept; when the cause is mended, try again with: "
        f"{retry_command(spool.path, [upload.id])}"
    )


def _death(upload: Upload) -> tuple[str, float | None]:
    return upload.id, upload.finished_at
