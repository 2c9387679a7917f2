"""Send what is frequent by a shorter way than the SDK's request pipeline.

- Where the bucket is, in which region, and with whose credentials is botocore's to say (`way.py`);
  the credentials are asked for at each request, so that they are refreshed.
- One request at a time on a kept-alive connection; others are opened when threads ask at once.
- An answer that is not plain success or refusal (a redirect, another region) is the SDK's to deal
  with: the caller goes that way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from uploader.errors import AuthError
from uploader.store.s3.line import Line, connect
from uploader.store.s3.reply import Answer, read_answer
from uploader.store.s3.signing import Signer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from uploader.place import Way
    from uploader.store.s3.signing import Keys

_SAFE = "/~"  #: in a key, what is not percent-encoded; as botocore does it


class Wire:
    """Connections to one bucket."""

    def __init__(self, way: Way, keys: Callable[[], Keys], timeout: float) -> None:
        """Prepare; nothing is connected yet.

        Raises:
            AuthError: the certificates cannot be read.
        """
        parts = urlsplit(way.url)
        self._signer = Signer(way.region, way.service)
        self._endpoint = way.endpoint
        self._keys = keys
        self._timeout = timeout
        self._host, self._path = parts.netloc, parts.path
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._address = (str(parts.hostname), port)
        self._tls = trusting(way.certificates) if parts.scheme == "https" else None
        self._idle: list[Line] = []

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
            method, path, text, {**headers, "host": self._host}, self._keys()
        )
        head = f"{method} {path}{'?' if text else ''}{text} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return self._exchange(method, f"{head}\r\n".encode(), body)

    def close(self) -> None:
        """Let go of all connections."""
        while line := self._taken():
            line.close()

    def _exchange(self, method: str, head: bytes, body: Iterable[bytes]) -> Answer:
        line = self._connected()
        try:
            broken = _send(line, head, body)
            try:
                answer, keeps = read_answer(line.receive, method)
            except OSError:
                if broken:
                    raise broken from None
                raise
        except BaseException:
            line.close()
            raise
        if keeps and not broken:
            self._idle.append(line)
        else:
            line.close()
        return answer

    def _connected(self) -> Line:
        while line := self._taken():
            if line.is_quiet():
                return line
            line.close()  # it ended, or says what nobody asked for
        try:
            return connect(self._address, self._timeout, self._tls)
        except OSError as error:
            raise ConnectionError(f"cannot connect to {self._endpoint}: {error}") from error

    def _taken(self) -> Line | None:
        """Take a connection that nobody uses; threads may ask at once."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _send(line: Line, head: bytes, body: Iterable[bytes]) -> OSError | None:
    """Send a request, a small one in one piece.

    Return why not all was sent, if the other side does not read the rest: it may have answered.
    """
    waiting = head
    try:
        for chunk in body:
            if not waiting and not line.is_quiet():
                return ConnectionError("the answer came before the end of the body")
            line.send(waiting + chunk)
            waiting = b""
        if waiting:
            line.send(waiting)
    except (BrokenPipeError, ConnectionResetError) as error:
        return error
    return None


def trusting(certificates: str) -> ssl.SSLContext:
    """Return what trusts a file or a directory of certificates.

    Raises:
        AuthError: they cannot be read.
    """
    import ssl  # 0.02 s, for nothing without TLS

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    kind = "capath" if os.path.isdir(certificates) else "cafile"
    try:
        context.load_verify_locations(**{kind: certificates})
    except OSError as error:
        msg = f"cannot use the certificates in {certificates}: {error}; correct --ca-bundle"
        raise AuthError(msg) from error
    return context
