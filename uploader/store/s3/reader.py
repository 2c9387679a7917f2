"""Give a body to botocore as a file."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from uploader.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.store.body import Body


class BodyReader:
    """A body as a file that botocore sends, and reads again from its start after a redirect.

    The last portion is given out only when all of the body was read and found to be what was
    logged. So a service never gets the end of a damaged body, and stores nothing.
    """

    def __init__(self, body: Body) -> None:
        """Read `body`."""
        self._body = body
        self._size = body.size
        self.error: StoreError | None = None  #: why it could not be read; botocore wraps it
        self.seek(0)

    def __len__(self) -> int:
        """Return the bytes in all, for the Content-Length."""
        return self._size

    def read(self, amount: int = -1) -> bytes:
        """Return the next portion, whatever the `amount`; nothing at the end."""
        del amount  # http.client sends what it gets; larger portions are fewer system calls
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
        self._portions = self._held_back()
        return 0

    def _held_back(self) -> Iterator[bytes]:
        held = b""
        try:
            for portion in self._body.chunks():
                if held:
                    yield held
                held = portion
        except StoreError as error:
            self.error = error
            raise
        yield held


def md5_of(body: Body) -> str:
    """Read a body once, which checks it, and return its Content-MD5."""
    value = hashlib.md5(usedforsecurity=False)
    for portion in body.read():  # not to be sent: no limit is waited for
        value.update(portion)
    return base64.b64encode(value.digest()).decode()
