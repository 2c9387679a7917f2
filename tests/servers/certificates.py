"""Make a certificate authority, and a certificate for this machine's loopback that it signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files: whom a client must trust, and what a server shows."""

    authority: Path
    key: Path
    chain: Path


def make_certificates(folder: Path) -> Certificates:
    """Write an authority's certificate, and a key and chain for 127.0.0.1 and localhost."""
    made = Certificates(folder / "authority.pem", folder / "key.pem", folder / "chain.pem")
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(made.authority)
    server.private_key_pem.write_to_path(made.key)
    for place, certificate in enumerate(server.cert_chain_pems):
        certificate.write_to_path(made.chain, append=place > 0)
    return made
