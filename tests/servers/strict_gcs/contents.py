"""Keep the bytes of objects in files that never change once an object names them.

- A content is a list of pieces, each a file of its own: putting contents together, or copying one,
  links files and moves no byte, so it takes as long for large ones as for small ones.
- Each content owns the names of its files; dropping it takes nothing from another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from tests.servers.strict_gcs import checksums
from tests.servers.strict_gcs.wire import PIECE, Incoming, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Bytes. Above it an object's MD5 is taken only if the client tells one: it would be slower than
#: all the rest. GCS has none of composed objects, so clients do without.
MD5_LIMIT = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Piece:
    """A whole file."""

    file: str
    size: int


@dataclasses.dataclass(frozen=True)
class Content:
    """An object's bytes, and what is known of them; sums in the API's text."""

    pieces: tuple[Piece, ...]
    size: int
    crc: int
    md5: str | None
    components: int | None = None

    @property
    def crc32c(self) -> str:
        """The API's text of it."""
        return checksums.crc_text(self.crc)


class Contents:
    """The folder of those files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def new_file(self) -> str:
        """Make an empty file, return its name."""
        name = secrets.token_hex(12)
        os.close(os.open(self.path(name), os.O_CREAT | os.O_EXCL, 0o600))
        return name

    def path(self, file: str) -> str:
        """Say where a file is."""
        return f"{self._folder}/{file}"

    def take(self, body: Incoming, *, with_md5: bool) -> Content:
        """Store a body as it comes.

        Raises:
            BrokenOffError: it broke off; nothing is kept.
        """
        file = self.new_file()
        try:
            content = self._take_into(file, body, with_md5=with_md5)
            body.require_whole()
        except BaseException:
            self.drop([Piece(file, 0)])
            raise
        return content

    def _take_into(self, file: str, body: Incoming, *, with_md5: bool) -> Content:
        size, crc = 0, 0
        small = body.length is not None and body.length <= MD5_LIMIT
        md5 = hashlib.md5(usedforsecurity=False) if with_md5 or small else None
        with open(self.path(file), "r+b", buffering=0) as out:
            for view in body.pieces():
                write_all(out.fileno(), view, size)
                crc = checksums.extend(crc, view)
                size += len(view)
                if md5:
                    md5.update(view)
        text = checksums.md5_text(md5.digest()) if md5 else None
        return Content((Piece(file, size),), size, crc, text)

    def of_file(self, file: str, size: int, crc: int, *, with_md5: bool) -> Content:
        """Make a content of a file that is complete."""
        md5 = None
        if with_md5 or size <= MD5_LIMIT:
            taken = hashlib.md5(usedforsecurity=False)
            for block in self._blocks(file, 0, size):
                taken.update(block)
            md5 = checksums.md5_text(taken.digest())
        return Content((Piece(file, size),), size, crc, md5)

    def crc_of(self, file: str, size: int) -> int:
        """Read a file's first bytes again for their CRC32C."""
        crc = 0
        for block in self._blocks(file, 0, size):
            crc = checksums.extend(crc, block)
        return crc

    def copy(self, content: Content) -> Content:
        """Make a content of the same bytes."""
        return dataclasses.replace(content, pieces=tuple(self._link(content.pieces)))

    def join(self, contents: list[Content], components: int | None) -> Content:
        """Make a content of others, one after the other; it has no MD5."""
        size, crc = 0, 0
        for each in contents:
            size, crc = size + each.size, checksums.joined(crc, each.crc, each.size)
        pieces = [piece for each in contents for piece in each.pieces]
        return Content(tuple(self._link(pieces)), size, crc, None, components)

    def open(self, content: Content, start: int, size: int) -> list[Stretch]:
        """Open some of its bytes for an answer; they stay readable when the content is dropped."""
        stretches, here = [], 0
        for piece in content.pieces:
            first, last = max(start, here), min(start + size, here + piece.size)
            if first < last:
                descriptor = os.open(self.path(piece.file), os.O_RDONLY)
                stretches.append(Stretch(descriptor, first - here, last - first))
            here += piece.size
        return stretches

    def drop(self, pieces: Iterable[Piece]) -> None:
        """Remove a content's files."""
        for piece in pieces:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(piece.file))

    def sweep(self, named: set[str]) -> None:
        """Remove the files that nothing names, after a kill."""
        for file in os.listdir(self._folder):
            if file not in named:
                os.unlink(self.path(file))

    def _link(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            name = secrets.token_hex(12)
            os.link(self.path(piece.file), self.path(name))
            yield Piece(name, piece.size)

    def _blocks(self, file: str, start: int, size: int) -> Iterator[bytes]:
        with open(self.path(file), "rb", buffering=0) as source:
            source.seek(start)
            left = size
            while left and (block := source.read(min(left, PIECE))):
                left -= len(block)
                yield block


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write at an offset, however many calls it takes."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
