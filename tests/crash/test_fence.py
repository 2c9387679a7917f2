"""Holds the lock to its promise: one supervisor, and none while a worker of the last one lives."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash.bucket_scene import wait_until
from tests.crash.processes import children_of, kill, supervisor_of, workers_of
from tests.crash.scene import TIME_LIMIT, Scene
from uploader.drain.worker import OUTLIVE_VARIABLE
from uploader.spool.layout import open_lock, try_lock
from uploader.spool.ownership import process_start

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"version 1"
NEW = b"version 2"
LONG_ENOUGH = 5  #: seconds in which an unhindered drain of one small file is done several times


def drain(scene: Scene, **environment: str) -> subprocess.Popen[bytes]:
    """Start a drain and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "uploader", "drain", "--spool", str(scene.spool)],
        env={**scene.environment(), **environment},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.timeout(TIME_LIMIT)
def test_a_late_worker_of_a_killed_supervisor_never_writes_after_the_new_one(
    tmp_path: Path,
) -> None:
    """Promise 3. With the lock not given to the workers this test fails: it was tried.

    A worker is held inside its put of version 1, and outlives its supervisor (for that, its death
    signal is switched off). Version 2 is logged. The new supervisor must wait for that worker;
    otherwise the worker, let go at last, puts version 1 over version 2.
    """
    scene = Scene(tmp_path)
    hold = scene.write("hold", b"")
    with scene.open() as spool:
        first = spool.put_file("name", scene.write("old", OLD), overwrite=True)

        held = drain(scene, **{OUTLIVE_VARIABLE: "1", "UPLOADER_FAULTS": f"hold={hold},only=put"})
        wait_until(lambda: spool.upload(first).state == "active")
        wait_until((scene.directory / "hold.reached").exists)
        (worker,) = workers_of(held.pid)
        assert kill(held.pid)
        held.wait()
        spool.put_file("name", scene.write("new", NEW), overwrite=True)

    successor = drain(scene)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            successor.wait(LONG_ENOUGH)  # it waits for the worker that still lives
    finally:
        hold.unlink()  # the worker goes on, puts version 1, and ends
    assert successor.wait(TIME_LIMIT) == 0
    assert scene.arrived() == {"name": NEW}
    kill(worker)


def test_of_many_drains_one_works_and_all_wait_for_it(tmp_path: Path) -> None:
    """Two supervisors never run: no upload is attempted by more than one of six drains."""
    scene = Scene(tmp_path)
    source = scene.write("source", b"x" * 4096)
    with scene.open() as spool:
        for number in range(150):
            spool.put_file(f"file-{number}", source)
    drains = [drain(scene) for _ in range(6)]
    assert [one.wait(TIME_LIMIT) for one in drains] == [0] * 6
    with scene.open() as spool:
        assert {upload.attempts for upload in spool.uploads()} == {1}
        assert len(scene.arrived()) == 150


def test_workers_die_with_their_supervisor_and_let_go_of_the_lock(tmp_path: Path) -> None:
    """A killed supervisor leaves no process behind, and the next one can start."""
    scene = Scene(tmp_path)
    hold = scene.write("hold", b"")
    with scene.open() as spool:
        spool.put_file("name", scene.write("source", OLD))
    held = drain(scene, UPLOADER_FAULTS=f"hold={hold},only=put")
    wait_until((scene.directory / "hold.reached").exists)
    workers = workers_of(held.pid)
    assert workers
    family = [*children_of(held.pid), *workers]
    assert kill(held.pid)
    held.wait()
    lock = open_lock(scene.spool / "supervisor.lock")
    wait_until(lambda: try_lock(lock))
    wait_until(lambda: not any(process_start(pid) for pid in family))
    assert supervisor_of(scene.spool) is None
    assert scene.directory.joinpath("hold").exists()  # they ended while they were held
