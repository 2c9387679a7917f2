"""Drains the spools of all nodes of a Ray cluster, by a task on each.

    trainer.fit()
    drained = drain_nodes(timeout=600)  # in the driver
    if not all(node.complete for node in drained):
        raise SystemExit("; ".join(str(node) for node in drained))

- A spool is on its node's own disk, and only there can it be drained. Nothing of ours moves work
  between machines: Ray, which started the job, runs a task where each spool is.
- A task needs no CPU of its node, so it is not kept waiting by a trainer that was not torn down.
- A node that dies meanwhile, or is dead already, is an answer and no exception: the others' drains
  go on. What it held stands in its last report, if the spool has the option `node_report`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

if TYPE_CHECKING:
    from uploader import DrainReport


GONE = "the node is gone, and its spool with it; what it held: uploader nodes"


@dataclass(frozen=True)
class NodeDrain:
    """How the drain of one node ended."""

    node_id: str
    host: str
    report: DrainReport | None = None  #: None: it has no spool, or could not be drained
    error: str | None = None  #: why it could not

    @property
    def complete(self) -> bool:
        """Whether nothing that was spooled there is left, as far as anybody can know."""
        return self.error is None and (self.report is None or self.report.complete)

    def __str__(self) -> str:
        """Say it in a line."""
        if self.error is not None:
            return f"{self.host}: {self.error}"
        if self.report is None:
            return f"{self.host}: no spool"
        left, dead = self.report.pending, len(self.report.dead)
        return f"{self.host}: {left} uploads to go, {dead} dead letters ({self.report.ending})"


def drain_nodes(
    spool: str | os.PathLike[str] | None = None,
    *,
    workers: int = 4,
    timeout: float | None = None,
) -> list[NodeDrain]:
    """Upload everything that is in the spools of a cluster's nodes; return how each ended.

    Args:
        spool: the spool's directory, the same on each node; None: `$UPLOADER_SPOOL` as it is set
            there. A node where there is none has nothing to drain.
        workers: how many processes upload on each node.
        timeout: seconds after which each drain stops; None: when everything has ended.

    Returns:
        One for each node that is or was part of the cluster.
    """
    path = None if spool is None else os.fspath(spool)
    living, drained = {}, []
    for node in ray.nodes():
        node_id, host = str(node["NodeID"]), str(node["NodeManagerHostname"])
        if node["Alive"]:
            living[_drain_on(node_id).remote(path, workers, timeout)] = (node_id, host)
        else:
            drained.append(NodeDrain(node_id, host, error=GONE))
    for task, (node_id, host) in living.items():
        try:
            drained.append(NodeDrain(node_id, host, ray.get(task)))
        except RayError as error:  # the task's own error, or that of its node
            reason = _reason(error) if _is_alive(node_id) else GONE
            drained.append(NodeDrain(node_id, host, error=reason))
    return drained


def _drain_on(node_id: str) -> Any:
    where = NodeAffinitySchedulingStrategy(node_id, soft=False)
    # again on the same node if its process was killed; a drain goes on where it was
    return ray.remote(_drain).options(num_cpus=0, max_retries=2, scheduling_strategy=where)


def _drain(spool: str | None, workers: int, timeout: float | None) -> DrainReport | None:
    import uploader

    spool = spool or os.environ.get("UPLOADER_SPOOL")
    if not spool:
        raise ValueError("name the spool: drain_nodes(spool=...), or UPLOADER_SPOOL on each node")
    return uploader.drain(spool, workers=workers, timeout=timeout) if os.path.isdir(spool) else None


def _is_alive(node_id: str) -> bool:
    return any(node["Alive"] for node in ray.nodes() if node["NodeID"] == node_id)


def _reason(error: RayError) -> str:
    """Return the last line of what Ray says, which is the error itself and not where it arose."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
