"""Bring a spool back to order after a crash: rows against files.

`recover` is run by the owner of the supervisor's lock, at its start; `sweep` by it at its start,
its end and every hour, and by a drain that has watched the agent finish: it is safe in any process.

- Rows left active go back to ready; their recorded parts stay.
- A file that no row needs is removed if nobody holds it: a copy whose process died before its
  commit, or a blob whose unlink was cut off after its row had ended. What does not look like one
  of our files is left where it is, and named in the log.
- The row is looked up only after the lock was free: a producer commits before it lets go.
- Rows whose blob is missing or damaged are found when the blob is read, before a byte is sent.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.spool.staging import is_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.spool.layout import Layout
    from uploader.spool.ledger import Ledger

_ID = re.compile(r"[0-9a-f]{32}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovered:
    """What recovery did."""

    put_back: int  #: uploads that were active
    swept: int  #: files that no row needed


def recover(layout: Layout, ledger: Ledger) -> Recovered:
    """Put back what a predecessor left active, and sweep files that no row needs."""
    recovered = Recovered(ledger.recover(), sweep(layout, ledger))
    if recovered.put_back or recovered.swept:
        _log.info(
            "recovered: %d uploads go on, %d files of unfinished copies removed",
            recovered.put_back,
            recovered.swept,
        )
    return recovered


def sweep(layout: Layout, ledger: Ledger) -> int:
    """Remove staged files and blobs that no row needs and no process holds. Return how many."""
    swept = 0
    for entry in _files(layout):
        if not _ID.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            _log.warning(
                "left alone in the spool, since it is not one of its files: %s", entry.path
            )
        elif is_abandoned(entry.path) and _is_unneeded(layout, ledger, entry):
            with suppress(FileNotFoundError):
                os.unlink(entry.path)
                swept += 1
    return swept


def _is_unneeded(layout: Layout, ledger: Ledger, entry: os.DirEntry[str]) -> bool:
    staged = entry.path == str(layout.staged(entry.name))
    return staged or not ledger.holds_bytes(entry.name)


def _files(layout: Layout) -> Iterator[os.DirEntry[str]]:
    with os.scandir(layout.blobs) as buckets:
        directories = [str(layout.staging), *(bucket.path for bucket in buckets)]
    for directory in directories:
        with os.scandir(directory) as entries:
            yield from entries
