"""Writes the file of a service account that does not exist, for a server that lets anybody in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from pathlib import Path

BITS = 2048  #: of a key, as Google makes them


def write(path: Path, tokens: str) -> Path:
    """Write a file as Google's console gives it out, whose tokens come from the URL `tokens`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "bench",
        "private_key_id": "0",
        "private_key": key.decode(),
        "client_email": "bench@bench.iam.gserviceaccount.com",
        "client_id": "0",
        "token_uri": tokens,
    }
    path.write_text(json.dumps(account))
    return path
