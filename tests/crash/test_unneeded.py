"""Kills a worker that was to remove blobs which nobody needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.scene import Scene
from uploader.drain.schedule import SMALL_AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("step", [1, 2, SMALL_AT_ONCE])
def test_a_worker_killed_beside_a_removal_leaves_no_blob(tmp_path: Path, step: int) -> None:
    """Its second batch came with the blobs of its first."""
    scene = Scene(tmp_path)
    names = [f"small-{number}" for number in range(3 * SMALL_AT_ONCE)]
    with scene.open() as spool:
        for name in names:
            spool.put_file(name, scene.write("source", name.encode()))

    crash = f"worker.step-begun:{1 + SMALL_AT_ONCE + step}"  # its first step asks for the gate
    drained = scene.run("drain", "--workers", "1", crash=crash)
    assert scene.once.exists()
    assert drained.returncode == 0, drained.stderr
    assert scene.arrived() == {name: name.encode() for name in names}
    assert not scene.leftovers()
