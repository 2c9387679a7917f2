"""Give tokens for a service account's key as Google's servers do, and let a service know them.

- The signature and the claims of what is shown (RFC 7523) are checked with the public key.
- Each token is another one, and the last that was given is the only one that the service takes.
- Another account's token is given to who shows the first one's: the IAM Credentials API.

Sources: "Using OAuth 2.0 for Server to Server Applications" of Google's documentation, and the
reference of `projects.serviceAccounts.generateAccessToken`.
"""

from __future__ import annotations

import json
import ssl
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from tests.servers.scripted import Asked, Said, Scripted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.strict_gcs.running import StrictGcs

ACCOUNT = "uploader@project.iam.gserviceaccount.com"
ANOTHER = "other@project.iam.gserviceaccount.com"
IAM = "iamcredentials.googleapis.com"  #: where the SDK asks to act as another account

AUDIENCE = "https://oauth2.googleapis.com/token"  #: of a login, wherever the file leads to
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STORAGE = "https://www.googleapis.com/auth/devstorage.full_control"
TO_IMPERSONATE = "https://www.googleapis.com/auth/iam"


class Key:
    """A service account's key, freshly made."""

    def __init__(self) -> None:
        """Make it."""
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def private(self) -> str:
        """What is in the account's file."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @property
    def public(self) -> str:
        """What a signature is checked with."""
        return (
            self._private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )


class Tokens(Scripted):
    """A server of tokens, by TLS; it answers for `IAM` too."""

    def __init__(self, service: StrictGcs, authority: trustme.CA, key: Key) -> None:
        """Let the service know the tokens; show a certificate that `authority` signed."""
        self.key = key
        self.lifetime = 3600  #: seconds that a token is good for, as it is told
        self.given: list[str] = []
        self.refused: list[str] = []
        self._service = service
        self._account_tokens: set[str] = set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost", IAM).configure_cert(context)
        super().__init__(context)

    @property
    def uri(self) -> str:
        """Where a token is asked for."""
        return f"{self.endpoint}/token"

    def file(self, path: Path, *, key: Key | None = None) -> Path:
        """Write a service account's file; with another key, it is refused."""
        path.write_text(json.dumps(self.account(key)))
        return path

    def account(self, key: Key | None = None) -> dict[str, str]:
        """Return what is in a service account's file."""
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": (key or self.key).private,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": self.uri,
        }

    def answer(self, asked: Asked) -> Said:
        """Give a token, or say why not."""
        try:
            if asked.path == "/token":
                return self._for_key(dict(parse_qsl(asked.body.decode())))
            if asked.path == f"/v1/projects/-/serviceAccounts/{ANOTHER}:generateAccessToken":
                return self._for_another(asked)
        except (ValueError, AssertionError) as error:
            self.refused.append(repr(error))
            return Said.document({"error": "invalid_grant", "error_description": str(error)}, 400)
        return Said.document({"error": {"code": 404, "message": "Not Found"}}, 404)

    def _for_key(self, form: dict[str, str]) -> Said:
        assert form["grant_type"] == GRANT
        claims = jwt.decode(form["assertion"], certs=self.key.public, audience=AUDIENCE)
        assert claims["iss"] == ACCOUNT
        scopes = claims["scope"].split()
        assert STORAGE in scopes or TO_IMPERSONATE in scopes
        token = self._new(good=STORAGE in scopes)
        self._account_tokens.add(token)
        told = {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        return Said.document(told)

    def _for_another(self, asked: Asked) -> Said:
        assert asked.headers["host"] == IAM
        assert asked.headers["authorization"].removeprefix("Bearer ") in self._account_tokens
        assert STORAGE in json.loads(asked.body)["scope"]
        expires = datetime.now(timezone.utc) + timedelta(seconds=self.lifetime)
        told = {"accessToken": self._new(good=True), "expireTime": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}
        return Said.document(told)

    def _new(self, *, good: bool) -> str:
        token = f"token-{len(self.given)}"
        self.given.append(token)
        if good:
            changes: dict[str, Any] = {"token": token}
            self._service.control(**changes)
        return token
