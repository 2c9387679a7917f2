"""Lays a state out as real files, where the product finds them as after a power loss."""

from __future__ import annotations

import errno
import os
import random
import shutil
from os.path import join
from pathlib import Path
from typing import TYPE_CHECKING

from tests.power.scenarios import DESTINATION, SPOOL

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.power.states import State

#: What may be left of SQLite's shared memory: anything. It must not be believed.
_SHARED_MEMORY = random.Random(0).randbytes(32 << 10)


class World:
    """The directory that was recorded, over and over again."""

    def __init__(self, base: Path, rooms: Collection[str]) -> None:
        """Use `base`, which is emptied.

        `rooms` are the directories of the spool that ever held a file: the other buckets, over 200,
        need not be looked into each time.
        """
        self.base = base
        self.spool = base / SPOOL
        self.destination = base / DESTINATION
        self._rooms = [path for path in sorted(rooms) if not self._in_destination(path)]
        self._directories: frozenset[str] | None = None  #: of the spool that is there

    def lay(self, state: State) -> None:
        """Make the directory be in a state."""
        if self.destination.exists():
            shutil.rmtree(self.destination)
        wanted = frozenset(path for path in state.directories if path != str(self.base))
        spool = frozenset(path for path in wanted if not self._in_destination(path))
        if spool != self._directories:
            self._begin_anew(spool)
        else:
            self._empty()
        for path in sorted(wanted - spool):
            os.mkdir(path)
        for path, content in state.files.items():
            self._write(path, content, state.attributes[path])
        for path, text in state.links.items():
            os.symlink(text, path)
        if (self.spool / "spool.db").exists():
            shared = str(self.spool / "spool.db-shm")
            self._write(shared, _SHARED_MEMORY, {})
            os.utime(shared, (0, 0))  # written before the machine went down

    def arrived(self) -> dict[str, bytes | str]:
        """Return what is at the destination: bytes of files, texts of symlinks."""
        found: dict[str, bytes | str] = {}
        for path in self._files_below(self.destination):
            name = os.path.relpath(path, self.destination)
            found[name] = os.readlink(path) if os.path.islink(path) else Path(path).read_bytes()
        return found

    def blobs(self) -> list[str]:
        """Return the paths of all files in `blobs/` and `staging/`."""
        return [path for path in self._in_rooms() if os.path.dirname(path) != str(self.spool)]

    def _in_destination(self, path: str) -> bool:
        return path.startswith(str(self.destination))

    def _begin_anew(self, directories: frozenset[str]) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        for path in sorted(directories):
            os.mkdir(path)
        self._directories = directories

    def _empty(self) -> None:
        for path in self._in_rooms():
            os.unlink(path)

    def _in_rooms(self) -> list[str]:
        return [
            entry.path
            for room in self._rooms
            if os.path.isdir(room)
            for entry in os.scandir(room)
            if not entry.is_dir()
        ]

    @staticmethod
    def _files_below(directory: Path) -> list[str]:
        return [join(folder, leaf) for folder, _, leaves in os.walk(directory) for leaf in leaves]

    @staticmethod
    def _write(path: str, content: bytes, attributes: dict[str, bytes]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, content)
        for key, value in attributes.items():
            try:
                os.setxattr(descriptor, key, value)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
        os.close(descriptor)
