"""Measures how fast a spool drains to Google Cloud Storage, beside Google's own library.

- How is said in `uploads.py`.
- The sink is asked by TLS, as the service itself is: credentials are of a service account, and the
  server gives the tokens. All clients ask for theirs on the clock.
- `upload_many` with processes makes a client for each file, and with it a connection and a token:
  2,000 files take it minutes.
- `strict`, by plain HTTP, stores what arrives. No emulator will do: fake-gcs-server has neither XML
  multipart uploads nor sessions of several chunks, the other one no preconditions.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.bench import accounts, goals, peers, services, uploads
from tests.bench.measure import GIB, KIB, MIB
from tests.bench.rooms import GcsRoom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Result

SERVERS = services.GCS_SERVERS
DEFAULT = ("sink", "strict")  #: servers
SETS = ((2000, 64 * KIB), (64, 16 * MIB), (1, 256 * MIB), (1, GIB))
PEERS = tuple(tool.name for tool in peers.GCS_TOOLS)


def run(folder: Path, chosen: uploads.Chosen) -> Result:
    """Upload each set to each server in each of the library's ways."""
    servers = {name: partial(_running, name) for name in SERVERS}
    return uploads.run(folder, uploads.Kind("gcs", servers, peers.GCS_TOOLS, goals.GCS), chosen)


@contextmanager
def _running(name: str, folder: Path) -> Iterator[GcsRoom]:
    with SERVERS[name](folder) as server:
        account = None
        if server.ca_bundle:
            account = accounts.write(folder / "account.json", f"{server.endpoint}/token")
        yield GcsRoom(server, account)
