"""Read a piece of a spooled file, and check that it is what was logged."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.checksum import crc32c
from uploader.errors import DamagedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes read at a time, and encrypted and sent at a time: they stay in a core's cache meanwhile.
CHUNK = 256 << 10

_GONE = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO}  # ELOOP: a symlink, ENXIO: a socket


@dataclass(frozen=True)
class Body:
    """The bytes of one request: a whole blob, or a part of one."""

    path: str
    offset: int  #: bytes
    size: int  #: bytes
    crc32c: int | None  #: of these bytes; None: not known yet, nothing is checked
    inline: bytes | None = None  #: the bytes themselves, of what is in no file (a pointer's text)

    @classmethod
    def of_bytes(cls, data: bytes) -> Body:
        """Return a body of bytes in memory."""
        return cls("", 0, len(data), crc32c(data), data)

    def piece(self, offset: int, size: int) -> Body:
        """Return some of the bytes, whose checksum nobody knows; `offset` as in the file."""
        at = offset - self.offset
        inline = None if self.inline is None else self.inline[at : at + size]
        return Body(self.path, offset, size, None, inline)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, each to be sent at once; otherwise as `read`.

        A store MUST take what it sends from here: where there is a limit, this waits for it.
        """
        return self.read()

    def read(self, most: int = CHUNK) -> Iterator[bytes]:
        """Yield the bytes, up to `most` at a time; it waits for no limit.

        The caller MUST NOT make anything visible before the iteration has ended well.

        Raises:
            DamagedError: at the end: they are not those of the checksum.
        """
        if self.inline is not None:
            yield from (self.inline[at : at + most] for at in range(0, len(self.inline), most))
            return
        descriptor = open_blob(self.path)
        try:
            value, at, end = 0, self.offset, self.offset + self.size
            while at < end and (data := os.pread(descriptor, min(most, end - at), at)):
                value = crc32c(data, value)
                at += len(data)
                yield data
        finally:
            os.close(descriptor)
        if at < end:
            raise _damaged(self.path, f"it ends at byte {at}, {end} were expected")
        if self.crc32c is not None and value != self.crc32c:
            raise _damaged(self.path, f"CRC32C is {value:08x}, was {self.crc32c:08x} when logged")


def held_back(body: Body, size: int | None = None) -> Iterator[bytes]:
    """Yield a body, or its first `size` bytes, the end only when all was found to be as logged.

    So a service never gets the end of a damaged body, and stores nothing.
    """
    left = body.size if size is None else size
    last = b""
    for chunk in body.chunks():
        if left > 0:
            piece = chunk if len(chunk) <= left else chunk[:left]
            left -= len(piece)
            if left:
                yield piece
            else:
                last = piece
    if last:
        yield last


def open_blob(path: str) -> int:
    """Open a spooled file; never through a symlink.

    Raises:
        DamagedError: it is not there, or is no file any more.
        TransientError: the system could not open it now (too many open files, an I/O error).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            raise _damaged(path, str(error.strerror)) from error
        msg = f"cannot open spool file {path}: {error.strerror}"
        raise TransientError(msg) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _damaged(path, "it is no regular file")


def _damaged(path: str, how: str) -> DamagedError:
    return DamagedError(
        f"spool file damaged: {path}: {how}. It was not sent; log the artifact again, then "
        "`uploader cancel` this upload"
    )
