"""The Ray recipe drains each node where it is, on a real cluster of several nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short() -> Iterator[str]:
    """A folder for Ray's sockets, whose paths may have 107 bytes: pytest's are too long."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        yield folder


@pytest.mark.timeout(180)  # a cluster of four nodes on two busy cores takes its time to start
def test_each_node_drains_its_own_spool_and_one_that_dies_is_told(
    tmp_path: Path, short: str
) -> None:
    """Its answer says so, the others' artifacts arrive, and a node without a spool is complete."""
    (tmp_path / "held").touch()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.ray.job", str(tmp_path)],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": short},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    first, again = json.loads((tmp_path / "result.json").read_text())
    assert {name: complete for name, (complete, _) in first.items()} == {
        "head": True,
        "trained": True,
        "slow": False,
    }
    assert (tmp_path / "there/trained/model.pt").read_text() == "trained"
    assert not (tmp_path / "there/slow/model.pt").exists()
    assert first["head"][1].endswith(": no spool")
    assert ": the node is gone" in first["slow"][1]
    assert "0 uploads to go, 0 dead letters (empty)" in first["trained"][1]
    assert again["slow"] is False, "a node that is gone is not forgotten"
