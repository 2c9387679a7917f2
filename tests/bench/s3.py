"""Measures how fast a spool drains to S3, beside tools that upload the same files, on one server.

How is said in `uploads.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.bench import goals, peers, services, uploads
from tests.bench.rooms import S3Room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Result

SERVERS = services.SERVERS
DEFAULT = ("sink", "seaweed")  #: servers
SETS = (goals.SMALL, goals.MIDDLE, goals.LARGE)
PEERS = tuple(tool.name for tool in peers.TOOLS)
USUAL = tuple(tool.name for tool in peers.TOOLS if not tool.large)


def run(folder: Path, chosen: uploads.Chosen) -> Result:
    """Upload each set to each server by each of the peers that can be had."""
    servers = {name: partial(_running, name) for name in SERVERS}
    return uploads.run(folder, uploads.Kind("s3", servers, peers.TOOLS, goals.GOALS), chosen)


@contextmanager
def _running(name: str, folder: Path) -> Iterator[S3Room]:
    with SERVERS[name](folder) as server:
        yield S3Room(server)
