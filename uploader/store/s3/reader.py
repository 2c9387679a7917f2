"""Give a body to botocore as a file."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from uploader.errors import StoreError
from uploader.store.body import held_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.store.body import Body


#: Bytes handed to the socket at a time. Each is given the connect timeout: urllib3 sets the read
#: timeout only after the body, and `socket.sendall` counts for all that it was given. So this
#: divided by `line.CONNECT_TIMEOUT` is the slowest line (6 KiB/s) that is not taken for a stall.
PORTION = 64 << 10


class BodyReader:
    """A body as a file that botocore sends, and reads again from its start after a redirect."""

    def __init__(self, body: Body) -> None:
        """Read `body`."""
        self._body = body
        self._size = body.size
        self.error: StoreError | None = None  #: why it could not be read; botocore wraps it
        self.seek(0)

    def __len__(self) -> int:
        """Return the bytes in all, for the Content-Length."""
        return self._size

    def read(self, amount: int = -1) -> bytes | memoryview:
        """Return the next portion, whatever the `amount`; nothing at the end."""
        del amount  # http.client sends what it gets
        data = next(self._portions, b"")
        self._at += len(data)
        return data

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Begin again; no other place can be sought."""
        if (offset, whence) != (0, 0):
            msg = "a body can only be read again from its start"
            raise OSError(msg)
        self._at = 0
        self._portions = self._small()
        return 0

    def _small(self) -> Iterator[memoryview]:
        try:
            for chunk in held_back(self._body):
                view = memoryview(chunk)
                yield from (view[at : at + PORTION] for at in range(0, len(chunk), PORTION))
        except StoreError as error:
            self.error = error
            raise


def md5_of(body: Body) -> str:
    """Read a body once, which checks it, and return its Content-MD5."""
    value = hashlib.md5(usedforsecurity=False)
    for portion in body.read():  # not to be sent: no limit is waited for
        value.update(portion)
    return base64.b64encode(value.digest()).decode()
