"""Writes files as training frameworks do, for as long as asked, and keeps a diary of them.

Before a file gets the name under which it is to be found, the diary says so; after it is complete,
that it is: from then on, and not before, it is owed. Contents can be told from the diary.

    python -m tests.crash.writer DIRECTORY DIARY SEED STOP
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import TextIO

SIZES = (1, 700, 65_536, 400_000)  #: bytes
HOT_NAMES = 3  #: that are written again and again
PAUSES = (0, 0.01, 0.03, 0.3)  #: seconds between two pieces; the last is longer than a watch waits
REST = 0.02  #: seconds at most between two files


def content(number: int, size: int) -> bytes:
    """Return what version `number` holds: its number first, to be read back."""
    return f"{number:010d} ".encode() + random.Random(number).randbytes(size)


class Writer:
    """One program that writes below a directory."""

    def __init__(self, root: Path, lines: TextIO, seed: str) -> None:
        """Write below `root`."""
        self.root, self.lines = root, lines
        self.random = random.Random(seed)
        self.ways = (self.slowly, self.renamed, self.nested, self.directory, self.hot, self.vanish)

    def write(self, number: int) -> None:
        """Make one more file, in some way."""
        size = self.random.choice(SIZES)
        way = self.random.choice(self.ways)
        way(number, content(number, size))
        time.sleep(self.random.uniform(0, REST))

    def slowly(self, number: int, data: bytes) -> None:
        """In pieces, with pauses."""
        self._pieces(self._begun(f"slow/{number}.pt", number, data), data)
        self._done(f"slow/{number}.pt", number)

    def renamed(self, number: int, data: bytes) -> None:
        """Under another name first."""
        path = self._begun(f"renamed/{number}.pt", number, data)
        self._pieces(path.with_suffix(".tmp"), data)
        path.with_suffix(".tmp").rename(path)
        self._done(f"renamed/{number}.pt", number)

    def nested(self, number: int, data: bytes) -> None:
        """Deep in new directories."""
        name = f"nested/{number}/deep/er/x.pt"
        self._begun(name, number, data).write_bytes(data)
        self._done(name, number)

    def directory(self, number: int, data: bytes) -> None:
        """In a directory that gets its name when all is in it."""
        name = f"step-{number}/x.pt"
        self._note(name, number, data)
        hidden = self.root / f".step-{number}"
        hidden.mkdir()
        (hidden / "x.pt").write_bytes(data)
        self._pause()
        hidden.rename(self.root / f"step-{number}")
        self._done(name, number)

    def hot(self, number: int, data: bytes) -> None:
        """Over what was there: in place, or by a rename."""
        name = f"hot/{self.random.randrange(HOT_NAMES)}.pt"
        path = self._begun(name, number, data)
        if self.random.random() < 0.5:
            self._pieces(path, data)
        else:
            path.with_suffix(".tmp").write_bytes(data)
            path.with_suffix(".tmp").rename(path)
        self._done(name, number)

    def vanish(self, number: int, data: bytes) -> None:
        """And away again, at once or a little later: nobody is owed that."""
        path = self._begun(f"gone/{number}.pt", number, data)
        path.write_bytes(data)
        time.sleep(self.random.choice((0, 0.15)))
        path.unlink()

    def _pieces(self, path: Path, data: bytes) -> None:
        pieces = self.random.randrange(1, 5)
        with path.open("wb") as file:
            for at in range(pieces):
                file.write(data[len(data) * at // pieces : len(data) * (at + 1) // pieces])
                file.flush()
                self._pause()

    def _pause(self) -> None:
        time.sleep(self.random.choices(PAUSES, weights=(6, 6, 6, 1))[0])

    def _begun(self, name: str, number: int, data: bytes) -> Path:
        self._note(name, number, data)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _note(self, name: str, number: int, data: bytes) -> None:
        self._write_down({"begun": number, "name": name, "size": len(data) - 11})

    def _done(self, name: str, number: int) -> None:
        self._write_down({"done": number, "name": name})

    def _write_down(self, entry: dict[str, object]) -> None:
        self.lines.write(json.dumps(entry) + "\n")
        self.lines.flush()


def main(root: Path, diary: Path, seed: str, stop: Path) -> None:
    """Write until the file `stop` is there."""
    number = 0
    with diary.open("a") as lines:
        writer = Writer(root, lines, seed)
        while not stop.exists():
            number += 1
            writer.write(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    os._exit(0)
