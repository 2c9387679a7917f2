"""Remember which files of watched directories were spooled, so that none is spooled again.

- `note` runs in the transaction of the put (`Spool.put_source`): both are there, or neither.
- A path is bytes: file names of Linux need not be text.
- A row whose file is gone is forgotten after a while, so that there are about as many rows as
  files: after a day where the file was below the directory that is watched now, else after thirty,
  since nobody can tell then whether its file system is only not mounted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from uploader.spool.journal import Journal

KEEP_GONE = 86400.0  #: seconds; a file that comes back is then no new one
KEEP_ELSEWHERE = 30 * 86400.0  #: seconds; of a directory that nobody watches now
PAGE = 500  #: rows a statement, under what any SQLite takes as parameters

_NOTE = """INSERT INTO watched (path, mark, upload) VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE
SET mark = excluded.mark, upload = excluded.upload, gone_since = NULL"""


class KnownFileError(Exception):
    """This version of a file is spooled already; nothing was spooled again."""


class Known(NamedTuple):
    """What is known of a file."""

    mark: str  #: of its content, as it was when it was spooled
    upload: str  #: the upload's id


class Watched:
    """The files that one spool knows."""

    def __init__(self, journal: Journal) -> None:
        """Read and write in `journal`'s database."""
        self._journal = journal

    def known(self, paths: Iterable[bytes]) -> dict[bytes, Known]:
        """Return what is known of those of the paths of which anything is."""
        wanted, found = list(paths), {}
        for start in range(0, len(wanted), PAGE):
            some = wanted[start : start + PAGE]
            marks = ",".join("?" * len(some))
            sql = f"SELECT path, mark, upload FROM watched WHERE path IN ({marks})"  # noqa: S608  marks are question marks
            found.update({path: Known(*rest) for path, *rest in self._journal.rows(sql, some)})
        return found

    def note(self, path: bytes, mark: str, upload_id: str) -> None:
        """Know a file, or a new version of one, from now on.

        Called by a put, which is undone with a `KnownFileError` if this version is known already.
        """
        self._journal.execute(_NOTE, (path, mark, upload_id))

    def remark(self, path: bytes, mark: str) -> None:
        """Know a file whose content is as it was by what it looks like now."""
        self._journal.execute("UPDATE watched SET mark = ? WHERE path = ?", (mark, path))

    def forget(self, root: bytes, now: float) -> int:
        """Forget files that have been gone for long enough; return how many.

        Args:
            root: the directory that is watched; if it is empty, its file system may only not be
                mounted, and nothing in it counts as gone.
            now: seconds since the epoch.
        """
        below = root.rstrip(b"/") + b"/"
        spare = below if _is_empty(root) else None
        for page in self._pages():
            self._mark_gone([row for row in page if not (spare and row[0].startswith(spare))], now)
        # of paths that begin with `below`: in the order of bytes, "0" comes after "/"
        inside, until = "path >= :below AND path < :end", below[:-1] + b"0"
        due = [(f"NOT ({inside})", KEEP_ELSEWHERE)]
        if not spare:  # else who watches another directory may have missed them, just as wrongly
            due.append((inside, KEEP_GONE))
        forgotten = 0
        for condition, kept in due:
            forgotten += self._journal.execute(
                f"DELETE FROM watched WHERE gone_since < :before AND {condition}",  # noqa: S608
                {"before": now - kept, "below": below, "end": until},
            ).rowcount
        return forgotten

    def _pages(self) -> Iterator[list[tuple[bytes, float | None]]]:
        sql = "SELECT path, gone_since FROM watched WHERE path > ? ORDER BY path LIMIT ?"
        after = b""
        while page := self._journal.rows(sql, (after, PAGE)):
            yield page
            after = page[-1][0]

    def _mark_gone(self, rows: list[tuple[bytes, float | None]], now: float) -> None:
        changed = [
            (None if there else now, path)
            for path, since in rows
            for there in (_may_be_there(path),)
            if there != (since is None)
        ]
        if changed:
            with self._journal.transaction():
                for gone_since, path in changed:
                    self._journal.execute(
                        "UPDATE watched SET gone_since = ? WHERE path = ?", (gone_since, path)
                    )


def _may_be_there(path: bytes) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):  # not readable now; or no path at all, which is nobody's
        return True
    return True


def _is_empty(root: bytes) -> bool:
    """Tell whether nothing is in a directory, as far as can be seen."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return True
