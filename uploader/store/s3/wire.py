"""Send what is frequent by a shorter way than the SDK's request pipeline.

- Where the bucket is, in which region, and with whose credentials is botocore's to say (`way.py`);
  the credentials are asked for at each request, so that they are refreshed.
- An answer that is not plain success or refusal (a redirect, another region) is the SDK's to deal
  with: the caller goes that way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from uploader.store.http.connections import Connections
from uploader.store.s3.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from uploader.place import Way
    from uploader.store.http.reply import Answer
    from uploader.store.s3.signing import Keys

_SAFE = "/~"  #: in a key, what is not percent-encoded; as botocore does it


class Wire:
    """Connections to one bucket."""

    def __init__(self, way: Way, keys: Callable[[], Keys], timeout: float) -> None:
        """Prepare; nothing is connected yet.

        Raises:
            AuthError: the certificates cannot be read.
        """
        self._connections = Connections(way.url, way.certificates, timeout)
        self._signer = Signer(way.region, way.service)
        self._keys = keys
        self._path = urlsplit(way.url).path

    def request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
    ) -> Answer:
        """Make a request; `headers` has the content-length of a body, no key means the bucket.

        Raises:
            OSError: on the way.
            StoreError: of the body, whose end was then not sent.
        """
        path = self._path + quote(key, safe=_SAFE) if key else self._path.rstrip("/") or "/"
        text = "&".join(
            f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items())
        )
        signed = self._signer.signed(
            method, path, text, {**headers, "host": self._connections.host}, self._keys()
        )
        target = f"{path}?{text}" if text else path
        return self._connections.request(method, target, signed, body)

    def close(self) -> None:
        """Let go of all connections."""
        self._connections.close()
