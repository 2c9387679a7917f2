"""Look at a directory and open what is in it, without ever leaving it.

- Symlinks are not followed: neither those that stand for a file, nor those on the way to one. Each
  directory on the way is opened from the one above it, so that none that is put there between the
  look and the opening leads elsewhere.
- The spool and a local destination may lie in the directory: they are no part of it.
"""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from uploader.watch.patterns import Patterns

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class Facts(NamedTuple):
    """What tells one state of a file from another."""

    inode: int
    size: int  #: bytes
    mtime_ns: int
    ctime_ns: int  #: changes with everything, also with what changes the mtime

    @classmethod
    def of(cls, found: os.stat_result) -> Facts:
        """Return those of a file that was looked at."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    @property
    def mark(self) -> str:
        """What is remembered of a file: not the ctime, which a new name or mode changes too."""
        return f"{self.inode}:{self.size}:{self.mtime_ns}"


class Tree:
    """The directory that is watched. Paths of files are relative to it."""

    def __init__(self, root: str, patterns: Patterns, apart: Iterable[str] = ()) -> None:
        """Name a directory; nothing is looked at.

        Args:
            root: it need not be there yet. A symlink is followed, once.
            patterns: which files are meant.
            apart: directories that are no part of it.
        """
        self._given = os.path.abspath(root)
        self.root = os.path.realpath(root)
        self._patterns = patterns
        self._apart = {os.path.realpath(one) for one in apart}
        self._unreadable: set[str] = set()

    def identity(self) -> tuple[int, int] | None:
        """Return what tells the directory from another one in its place; None if there is none."""
        for _ in range(2):
            try:
                found = os.lstat(self.root)
            except OSError:
                found = None
            if found and stat.S_ISDIR(found.st_mode):
                return found.st_dev, found.st_ino
            self.root = os.path.realpath(self._given)  # it was made only now, as a symlink
        return None

    def shown(self, path: str) -> str:
        """Return the absolute path of a file as one line can show it, whatever is in its name."""
        whole = os.path.join(self.root, path)
        return "".join(one if one.isprintable() else repr(one)[1:-1] for one in whole)

    def whole(self, path: str) -> bytes:
        """Return the absolute path of a file, which is what the spool knows it by."""
        return os.fsencode(os.path.join(self.root, path))

    def relative(self, path: str) -> str | None:
        """Return the relative path of an absolute one; None if it is not below the directory."""
        prefix = self.root.rstrip("/") + "/"
        return path[len(prefix) :] if path.startswith(prefix) else None

    def look(self, path: str) -> Iterator[tuple[str, Facts]]:
        """Yield the file at a path, or those below it if it is a directory, that are meant."""
        whole = os.path.join(self.root, path)
        if any(f"{whole}/".startswith(f"{one}/") for one in self._apart):
            return
        try:
            found = os.lstat(whole)
        except OSError:
            return
        if stat.S_ISREG(found.st_mode) and self._patterns.fit(path):
            yield path, Facts.of(found)
        elif stat.S_ISDIR(found.st_mode) and self._is_entered(whole, path):
            yield from self.files(path)

    def files(self, below: str = "") -> Iterator[tuple[str, Facts]]:
        """Yield every file that is meant; what goes away meanwhile is left out."""
        left = [below]
        while left:
            directory = left.pop()
            for entry in self._entries(directory):
                path = f"{directory}/{entry.name}" if directory else entry.name
                if _is_directory(entry):
                    if self._is_entered(entry.path, path):
                        left.append(path)
                elif self._patterns.fit(path):
                    facts = _facts_of(entry)
                    if facts:
                        yield path, facts

    def open(self, path: str) -> int:
        """Open a file for reading; raises `OSError` if it is gone, or behind a symlink."""
        *way, leaf = path.split("/")
        directory = os.open(self.root, _DIRECTORY)
        try:
            for name in way:
                inner = os.open(name, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            # O_NONBLOCK: a FIFO that took the file's place would be waited for
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(leaf, flags, dir_fd=directory)
        finally:
            os.close(directory)

    def _is_entered(self, whole: str, path: str) -> bool:
        return whole not in self._apart and self._patterns.may_hold(path)

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        whole = os.path.join(self.root, directory)
        try:
            with os.scandir(whole) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if whole not in self._unreadable:
                self._unreadable.add(whole)
                _log.warning("what is in it is not seen: %s: %s", whole, error.strerror)
            return []


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # some file systems do not list the kinds of files
        return False


def _facts_of(entry: os.DirEntry[str]) -> Facts | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return Facts.of(found) if stat.S_ISREG(found.st_mode) else None
