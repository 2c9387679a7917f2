"""Eight nodes upload to one bucket, and one of them is gone for good, its disk too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.bucket_scene import wait_until
from tests.servers.s3_server import S3Server
from tests.servers.services import Bucket, S3Service
from uploader import Spool
from uploader.drain.node_report import FOLDER

NODES = 8
LARGE = 6 << 20  #: bytes: two parts of what S3 takes


@dataclass
class Node:
    """A machine: a spool of its own, and its agent in a session of its own."""

    name: str
    folder: Path
    url: str
    environment: dict[str, str]
    agent: subprocess.Popen[bytes] | None = None

    @property
    def spool(self) -> Path:
        """Where its spool is."""
        return self.folder / "spool"

    @property
    def held(self) -> Path:
        """While this file is there, a large file is not begun."""
        return self.folder / "held"

    def content(self, size: int) -> bytes:
        """Return what its files hold."""
        return self.name[-1:].encode() * size

    def train(self, options: dict[str, str]) -> None:
        """Log a small file, and a large one with its alias."""
        self.folder.mkdir()
        source = self.folder / "source"
        with Spool(self.spool, self.url, options=options) as spool:
            for name, size in (("small.txt", 10), ("large.pt", LARGE)):
                source.write_bytes(self.content(size))
                spool.put_file(f"{self.name}/{name}", source, overwrite=False)
            spool.put_symlink(f"{self.name}/large.pt", f"{self.name}/latest", overwrite=True)

    def start_agent(self) -> None:
        """Start its agent, which gets no further than the small file."""
        self.held.touch()
        faults = {"UPLOADER_FAULTS": f"only=begin,hold={self.held}"}
        with (self.folder / "log").open("wb") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "uploader", "run", "--workers", "2", "--exit-when-idle",
                 "0s", "--spool", str(self.spool)],
                env={**os.environ, **self.environment, **faults},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        """Kill whatever runs there."""
        if self.agent and self.agent.returncode is None:
            os.killpg(self.agent.pid, signal.SIGKILL)
            self.agent.wait()


@dataclass
class Job:
    """The nodes, and what can be seen of them from elsewhere."""

    nodes: list[Node]
    bucket: Bucket

    def names(self) -> set[str]:
        """Return the names of all artifacts that are there."""
        keys = {key for key in self.bucket.objects() if key.startswith("runs/node-")}
        return {key.removeprefix("runs/") for key in keys}

    @property
    def reported(self) -> int:
        """How many nodes have left a report."""
        return sum(key.startswith(f"runs/{FOLDER}/") for key in self.bucket.objects())

    def reports(self) -> list[dict[str, Any]]:
        """Return what the nodes last said, as any machine can read it; 4: some held something."""
        command = [sys.executable, "-m", "uploader", "nodes", "--json"]
        told = subprocess.run(
            [*command, "--destination", self.nodes[0].url],
            env={**os.environ, **self.nodes[0].environment, "XDG_STATE_HOME": "/nowhere"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 4, told.stderr
        return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture
def job(tmp_path: Path, seaweed: S3Server) -> Iterator[Job]:
    """A job whose nodes have logged what they log, and upload the small files."""
    service = S3Service(seaweed)
    bucket = service.make_bucket()
    url = f"{service.scheme}://{bucket.name}/runs"
    environment = service.environment()
    options = {"endpoint": service.endpoint, "part_size": "5MiB", "node_report": "yes"}
    nodes = [Node(f"node-{at}", tmp_path / str(at), f"{url}?endpoint={service.endpoint}",
                  environment) for at in range(NODES)]  # fmt: skip
    for node in nodes:
        node.train(options)
        node.start_agent()
    yield Job(nodes, bucket)
    for node in nodes:
        node.end()


def arrives_of(node: Node, suffix: str) -> set[str]:
    """Return the names of all that a node logged; `suffix` is a pointer's."""
    return {f"{node.name}/{leaf}" for leaf in ("small.txt", "large.pt", f"latest{suffix}")}


def test_seven_nodes_finish_and_what_the_eighth_held_is_named(job: Job) -> None:
    """Nobody waits for the dead one; its last report names what went with its disk, no more."""
    dead, living = job.nodes[3], job.nodes[:3] + job.nodes[4:]
    small = {f"{node.name}/small.txt" for node in job.nodes}
    wait_until(lambda: job.names() == small and job.reported == NODES)
    wait_until(lambda: len(list(dead.folder.glob("held.reached"))) == 1)
    dead.end()
    shutil.rmtree(dead.spool)
    for node in living:
        node.held.unlink()
    for node in living:
        assert node.agent
        assert node.agent.wait(60) == 0, (node.folder / "log").read_text()
    expected = {name for node in living for name in arrives_of(node, ".symlink")}
    assert job.names() == expected | {f"{dead.name}/small.txt"}
    for node in living:
        assert job.bucket.read(f"runs/{node.name}/large.pt") == node.content(LARGE)
    reports = {Path(one["spool"]): one for one in job.reports()}
    assert len(reports) == NODES
    held = {one["name"] for one in reports[dead.spool]["pending"]}
    assert {f"{dead.name}/large.pt", f"{dead.name}/latest"} <= held
    assert held <= arrives_of(dead, "")
    assert not any(reports[node.spool]["pending"] for node in living)
