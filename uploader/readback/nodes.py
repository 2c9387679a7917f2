"""Read what nodes said of themselves at a destination: what they held when they were last heard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uploader.drain.node_report import FOLDER
from uploader.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.store.base import ObjectStore

MOST = 16 << 20  #: bytes of a report that are read: with the longest of all texts it has fewer


@dataclass(frozen=True)
class NodeSaid:
    """The last report of one spool on one node."""

    object_name: str
    report: dict[str, Any]  #: as it was written

    @property
    def at(self) -> float:
        """When it was written, in seconds since the epoch, by that node's clock."""
        return float(self.report["at"])

    @property
    def pending(self) -> int:
        """How many uploads it still held."""
        return int(self.report["counts"]["ready"]) + int(self.report["counts"]["active"])

    @property
    def dead(self) -> int:
        """How many dead letters it held."""
        return int(self.report["counts"]["dead"])


def nodes_of(store: ObjectStore) -> Iterator[NodeSaid]:
    """Yield the last report of each node, by name; what is no report is left out.

    Raises:
        StoreError: the destination could not be read.
    """
    for name in sorted(one.name for one in store.objects(f"{FOLDER}/")):
        said = _read(store, name)
        if said:
            yield said


def _read(store: ObjectStore, name: str) -> NodeSaid | None:
    """Return a report; None if it went away meanwhile, or somebody else wrote it."""
    data = b""
    try:
        for chunk in store.read(name):
            data += chunk
            if len(data) > MOST:
                return None
        said = NodeSaid(name, json.loads(data))
        _ = (said.at, said.pending, said.dead, str(said.report["node"]), str(said.report["spool"]))
        _ = [(str(one["name"]), one["size"]) for one in said.report["pending"]]
    except (NotFoundError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return said
