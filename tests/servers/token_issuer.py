"""Give out tokens as Google's authorization server does, to whoever shows a service account's file.

What the file signs is not checked: which token comes of it, and what that opens, is the test's own.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

LIFETIME = 3600  #: seconds; what Google gives
POLL_INTERVAL = 0.01  #: seconds; how long ending may take
_RSA = (65537, 2048)


class TokenIssuer(http.server.ThreadingHTTPServer):
    """Listens on 127.0.0.1. `token` is what it gives out, `given` how often it has."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.given = 0
        key = rsa.generate_private_key(*_RSA)
        self._key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def account(self) -> str:
        """Return the file of a service account whose tokens come from here."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "test",
                "private_key_id": "key",
                "private_key": self._key,
                "client_email": "tests@test.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"http://127.0.0.1:{self.server_port}/token",
            }
        )


@contextlib.contextmanager
def issuing(token: str) -> Iterator[TokenIssuer]:
    """Run one in a thread of this process."""
    with TokenIssuer(token) as issuer:
        thread = threading.Thread(target=issuer.serve_forever, args=(POLL_INTERVAL,))
        thread.start()
        try:
            yield issuer
        finally:
            issuer.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: TokenIssuer

    def do_POST(self) -> None:
        """Give out a token."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.given += 1
        told = {"access_token": self.server.token, "token_type": "Bearer", "expires_in": LIFETIME}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
