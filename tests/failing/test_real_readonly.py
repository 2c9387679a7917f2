"""A file system that is mounted read-only for real, and then is not any more.

A tmpfs is mounted anew where nobody writes; an ext4 in which the kernel found an error goes
read-only under everybody who does, and is mounted again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.volumes import CannotMountError, mount, mounted, unmount
from tests.failing.real.causes import Tmpfs, tmpfs
from tests.failing.real.scene import Scene

SIZE = 64 << 20  #: bytes of the image
READ_ONLY = "[Rr]ead-only"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Tmpfs]:
    """A small file system; where none can be mounted that is told as what it is."""
    try:
        with tmpfs(tmp_path) as made:
            yield made
    except CannotMountError as error:
        pytest.xfail(f"NOT TESTED, nothing was read-only: {error}")


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Path]:
    """An ext4 that goes read-only at its first error."""
    try:
        with mounted("ext4", tmp_path, SIZE) as root:
            _call("mount", "-o", "remount,errors=remount-ro", str(root))
            _call("test", "-e", str(_trigger(root)))
            yield root
    except CannotMountError as error:
        pytest.xfail(f"NOT TESTED, nothing went read-only: {error}")


def test_a_spool_that_is_read_only_is_told_as_such(tmp_path: Path, disk: Tmpfs) -> None:
    """By put, drain, agent and trainer; the same trainer goes on when it can be written."""
    scene = Scene(tmp_path, spool=disk.root / "spool")
    scene.make()
    scene.put_here("before", b"before")
    trainer = scene.trainer()
    disk.remount("ro")
    answer = trainer.log("now", b"now")
    assert answer["spool_error"] or answer["os_error"], answer
    assert "ead-only" in answer["words"], answer
    scene.put("new", b"new").require(1, 6, words=READ_ONLY)
    scene.drain().require(1, 6, words=READ_ONLY)
    scene.run("run", "--exit-when-idle", "1s").require(1, 6, words=READ_ONLY)
    disk.remount("rw")
    assert trainer.log("now", b"later") == {}
    scene.settle()
    trainer.end()


def test_an_agent_goes_on_when_its_destination_can_be_written_again(
    tmp_path: Path, disk: Tmpfs
) -> None:
    """It waits, and no upload becomes a dead letter; a drain meanwhile says what is the matter."""
    scene = Scene(tmp_path, remote=disk.root / "remote")
    scene.make()
    scene.put_here("before", b"before")
    agent = scene.agent()
    scene.wait_until((scene.remote / "before").exists)
    disk.remount("ro")
    scene.put_here("now", b"now")
    scene.wait_until(lambda: "ead-only" in scene.run("ls", "--json").said)
    disk.remount("rw")
    scene.wait_until((scene.remote / "now").exists)
    agent.terminate()
    scene.finish(agent).require(0, 130)
    disk.remount("ro")
    scene.put_here("then", b"then")
    scene.drain("--timeout", "5s").require(4, 5, words=READ_ONLY)
    disk.remount("rw")
    scene.settle()


def test_a_disk_that_goes_read_only_under_everybody_loses_nothing(
    tmp_path: Path, faulty: Path
) -> None:
    """Trainer and agent say so, or end; when it is mounted again all that returned arrives."""
    scene = Scene(tmp_path, spool=faulty / "spool")
    scene.make()
    for number in range(5):
        scene.put_here(f"before-{number}", os.urandom(50_000))
    trainer = scene.trainer()
    assert trainer.log("first", b"first") == {}
    agent = scene.agent()
    _trigger(faulty).write_text("the test")
    answers = [trainer.log(f"new-{number}", os.urandom(50_000)) for number in range(3)]
    assert answers[-1], "nothing was read-only"
    assert all(one["spool_error"] or one["os_error"] for one in answers if one), answers
    scene.put("new", b"new").require(1, 2, 6, words=f"{READ_ONLY}|disk failed")
    scene.drain("--timeout", "2s").require(0, 1, 4, 6)
    trainer.end()
    agent.terminate()
    scene.finish(agent).require(0, 1, 6, 130)
    _mount_again(tmp_path, faulty)
    scene.settle()


def _trigger(root: Path) -> Path:
    device = os.path.basename(_call("findmnt", "-n", "-o", "SOURCE", str(root)))
    return Path(f"/sys/fs/ext4/{device}/trigger_fs_error")


def _mount_again(folder: Path, root: Path) -> None:
    image = folder / "ext4.image"
    unmount(image, root)
    subprocess.run(["e2fsck", "-p", "-f", image], capture_output=True, check=False)  # 1: it mended
    mount(image, root)


def _call(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise CannotMountError(f"{' '.join(command)}: {ended.stderr.strip()}")
    return ended.stdout.strip()
