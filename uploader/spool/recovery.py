"""Bring a spool back to order after a crash: rows against files.

`recover` is run by the owner of the supervisor's lock, at its start; `sweep` by it at its start,
its end and every hour, and by a drain that has watched the agent finish: it is safe in any process.

- Rows left active go back to ready; their recorded parts stay.
- A file that no row needs is removed if nobody holds it: a copy whose process died before its
  commit, or a blob whose unlink was cut off after its row had ended. What does not look like one
  of our files is left where it is, and named in the log.
- A blob that no row names at all is removed only if the whole database is found to be sound, and
  the journal does not name it: a row that was lost, or edited, would cost an artifact.
- The row is looked up only after the lock was free: a producer commits before it lets go.
- Rows whose blob is missing or damaged are found when the blob is read, before a byte is sent.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.spool.layout import is_id
from uploader.spool.staging import is_abandoned

if TYPE_CHECKING:
    from uploader.spool.layout import Layout
    from uploader.spool.ledger import Ledger

_BUCKET = re.compile(r"[0-9a-f]{2}")
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
    staging = str(layout.staging)
    return sum(_sweep_directory(directory, ledger, staging) for directory in _directories(layout))


def _sweep_directory(directory: str, ledger: Ledger, staging: str) -> int:
    names = _our_files(directory)
    # A first look in bulk, so that a spool of a million blobs is not a million opened files.
    needed = ledger.holding(names)
    swept = 0
    for name in names:
        path = f"{directory}/{name}"
        if name not in needed and is_abandoned(path) and not ledger.holds_bytes(name):
            if directory != staging and ledger.may_have_lost(name):
                _log.warning(
                    "left alone in the spool, as rows of it were edited, and no other names it: %s",
                    path,
                )
                continue
            swept += _removed(path)
    return swept


def _removed(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        _log.warning("could not remove %s (the next sweep tries again): %s", path, error)
        return False
    return True


def _our_files(directory: str) -> list[str]:
    ours = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_id(entry.name) and entry.is_file(follow_symlinks=False):
                ours.append(entry.name)
            elif not _is_bucket(entry):
                _log.warning(
                    "left alone in the spool, as it is not one of its files: %s", entry.path
                )
    return ours


def _directories(layout: Layout) -> list[str]:
    with os.scandir(layout.blobs) as entries:
        buckets = [entry.path for entry in entries if _is_bucket(entry)]
    return [str(layout.staging), str(layout.blobs), *buckets]


def _is_bucket(entry: os.DirEntry[str]) -> bool:
    return bool(_BUCKET.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False)
