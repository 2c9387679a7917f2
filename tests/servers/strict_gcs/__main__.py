"""Serve a folder: `python -m tests.servers.strict_gcs --port 9000 DIR`."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

from tests.servers.strict_gcs.server import Server
from tests.servers.strict_gcs.service import Service
from tests.servers.strict_gcs.settings import Settings


def main() -> None:
    """Read the options, serve until killed."""
    parser = argparse.ArgumentParser(prog="strict_gcs")
    parser.add_argument("folder", type=Path, help="where the data is, or will be")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", help="what requests must bear")
    parser.add_argument("--user-project", help="what requests must name as the one that pays")
    parser.add_argument("--deny", action="append", default=[], help="a permission nobody has")
    parser.add_argument("--rewrite-bytes", type=int, help="what one call of a rewrite copies")
    parser.add_argument("--session-lifetime", type=float, default=Settings.session_lifetime)
    parser.add_argument("--check-at-begin", action="store_true", help="sessions' preconditions too")
    parser.add_argument("--certificate", type=Path, help="a chain in PEM: serve by TLS")
    parser.add_argument("--key", type=Path, help="its key in PEM")
    given = parser.parse_args()
    settings = Settings(
        given.token,
        given.user_project,
        given.deny,
        given.rewrite_bytes,
        given.session_lifetime,
        given.check_at_begin,
    )
    tls = _tls(given.certificate, given.key)
    service = Service(given.folder, settings, "https" if tls else "http")
    Server(service, given.port, tls).serve_forever()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


if __name__ == "__main__":
    main()
