"""Keep connections to a service open from one request to the next.

One request at a time on a connection; others are opened when threads ask at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from uploader.errors import AuthError
from uploader.store.http.line import Line, connect
from uploader.store.http.reply import Answer, read_answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping


class Connections:
    """Connections to one service."""

    def __init__(self, url: str, certificates: str, timeout: float) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: of the service, of which scheme, host and port count.
            certificates: path of a file, or a directory, of those that are trusted.
            timeout: seconds without progress after which a request is given up.

        Raises:
            AuthError: the certificates cannot be read.
        """
        parts = urlsplit(url)
        self.host = parts.netloc
        self._service = f"{parts.scheme}://{parts.netloc}"
        self._address = (
            str(parts.hostname),
            parts.port or (443 if parts.scheme == "https" else 80),
        )
        self._tls = trusting(certificates) if parts.scheme == "https" else None
        self._timeout = timeout
        self._idle: list[Line] = []

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Answer:
        """Make a request.

        Args:
            method: as PUT.
            target: path and query, percent-encoded.
            headers: all of them; `host`, and the content-length of a body, among them.
            body: is not begun again: a request is made once.

        Raises:
            OSError: on the way.
            StoreError: of the body, whose end was then not sent.
        """
        head = f"{method} {target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
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
            raise ConnectionError(f"cannot connect to {self._service}: {error}") from error

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
