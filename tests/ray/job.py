"""Runs a Ray cluster of several nodes on this machine, and drains it; writes what came of it.

    python -m tests.ray.job FOLDER

A process of its own: what Ray warns of, starts and leaves behind is not the tests'.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from destination.integrations.ray import drain_nodes
from uploader import Spool, agent_owner

NODES = ("trained", "slow")  #: beside the head, which has no spool


def main(folder: Path) -> None:
    """Spool on two nodes beside the head; lose one of them while it drains."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, **_quiet(folder, "head")}
    )
    nodes = {name: cluster.add_node(num_cpus=1, **_quiet(folder, name)) for name in NODES}
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    cluster.wait_for_nodes()
    for name in NODES:
        with Spool(folder / name, f"file://{folder}/there/{name}") as spool:
            (folder / "source").write_text(name)
            spool.put_file("model.pt", folder / "source")
    loser = threading.Thread(target=_lose, args=(cluster, nodes["slow"], folder))
    loser.start()
    drained = drain_nodes(timeout=60)
    loser.join()
    names = {node.node_id: name for name, node in nodes.items()}
    first = {names.get(one.node_id, "head"): [one.complete, str(one)] for one in drained}
    again = {names.get(one.node_id, "head"): one.complete for one in drain_nodes(timeout=60)}
    (folder / "result.json").write_text(json.dumps([first, again]))
    ray.shutdown()
    cluster.shutdown()


def _quiet(folder: Path, name: str) -> dict[str, object]:
    faults = f"hold={folder / 'held'}" if name == "slow" else ""
    return {
        "env_vars": {**os.environ, "UPLOADER_SPOOL": str(folder / name), "UPLOADER_FAULTS": faults},
        "include_dashboard": False,
        "object_store_memory": 80 << 20,  # bytes; the least that Ray takes is 75 MiB
    }


def _lose(cluster: Cluster, node: object, folder: Path) -> None:
    """Kill a node when its drain is in its first upload: Ray's processes, and the drain itself."""
    pause = threading.Event()
    while not (folder / "held.reached").exists():
        pause.wait(0.05)
    drain = agent_owner(folder / "slow")
    cluster.remove_node(node, allow_graceful=False)
    while all(one["Alive"] for one in ray.nodes()):
        pause.wait(0.05)
    assert drain
    os.kill(drain.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
