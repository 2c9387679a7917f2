"""A disk that is full for real, below the spool or the destination, and then is not any more.

A tmpfs, with the real command and a real trainer. `UPLOADER_FAILING=all` leaves every page from
none to eleven free; the tests a few of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.volumes import CannotMountError
from tests.failing.real.causes import PAGE, Tmpfs, tmpfs
from tests.failing.real.scene import Scene

ALL = os.environ.get("UPLOADER_FAILING") == "all"
#: Pages that stay free: in these SQLite's log, its shared memory or a copy end somewhere.
PAGES_OF_DRAIN = (0, 9)
PAGES = range(12) if ALL else (0, 4, 9)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Tmpfs]:
    """A small file system; where none can be mounted that is told as what it is."""
    try:
        with tmpfs(tmp_path) as made:
            yield made
    except CannotMountError as error:
        pytest.xfail(f"NOT TESTED, no disk was full: {error}")


@pytest.fixture
def scene(tmp_path: Path, disk: Tmpfs) -> Iterator[Scene]:
    """A spool on the small disk."""
    made = Scene(tmp_path, spool=disk.root / "spool")
    made.make()
    yield made
    made.end()


@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("size", [100, 3 * PAGE] if ALL else [3 * PAGE])
def test_a_trainer_goes_on_where_the_disk_was_full(
    scene: Scene, disk: Tmpfs, pages: int, size: int
) -> None:
    """In the copy or in SQLite's commit: SpoolFullError, and the same call succeeds later."""
    trainer = scene.trainer()
    assert trainer.log("before", b"b" * size) == {}
    disk.fill(leave=pages * PAGE)
    for number in range(6):
        answer = trainer.log(f"full-{number}", os.urandom(size))
        if answer:
            assert (answer["kind"], answer["errno"]) == ("SpoolFullError", errno.ENOSPC), answer
    disk.make_room()
    assert trainer.log("full-0", os.urandom(size)) == {}
    assert trainer.log("after", b"a" * size) == {}
    scene.settle()


@pytest.mark.parametrize("pages", PAGES)
def test_a_put_at_the_shell_says_that_the_disk_is_full(
    scene: Scene, disk: Tmpfs, pages: int
) -> None:
    """Exit code 7, what to do, and no half state; later it succeeds."""
    scene.put_here("before", b"before")
    disk.fill(leave=pages * PAGE)
    ended = scene.put("full", os.urandom(pages * PAGE + 1))
    ended.require(7, words="free space in .*spool|is full: its disk")
    disk.make_room()
    scene.put("full", b"full").require(0)
    scene.settle()


@pytest.mark.parametrize("pages", range(24) if ALL else PAGES_OF_DRAIN)
def test_a_drain_whose_ledger_cannot_be_written_loses_nothing(
    scene: Scene, disk: Tmpfs, pages: int
) -> None:
    """It ends with 7 and says what to do, or it manages in what room there is."""
    scene.put_many(100, PAGE)
    disk.fill(leave=pages * PAGE)
    ended = scene.drain()
    if ended.code:
        ended.require(7, words="free space in .*spool")
    disk.make_room()
    scene.settle()


def test_an_agent_whose_disk_is_full_is_replaced_by_the_next(scene: Scene, disk: Tmpfs) -> None:
    """It ends with 7 instead of spinning, or goes on; a drain brings the rest."""
    agent = scene.agent()
    trainer = scene.trainer()
    disk.fill()
    answers = [trainer.log(f"full-{number}", os.urandom(100)) for number in range(30)]
    assert all(one["kind"] == "SpoolFullError" for one in answers if one), answers
    scene.wait_until(lambda: agent.poll() is not None or not _pending(scene))
    disk.make_room()
    assert trainer.log("after", b"after") == {}
    agent.terminate()
    scene.finish(agent).require(0, 7, 130)
    scene.settle()


@pytest.mark.parametrize("leave", range(6) if ALL else (1,))
def test_inodes_that_are_used_up_are_a_full_disk(scene: Scene, disk: Tmpfs, leave: int) -> None:
    """Though there is room for the bytes; in a trainer, a put and a drain."""
    trainer = scene.trainer()
    assert trainer.log("before", b"before") == {}
    disk.take_inodes(leave)
    answers = [trainer.log(f"full-{number}", os.urandom(100)) for number in range(8)]
    assert all(one["kind"] == "SpoolFullError" for one in answers if one), answers
    assert answers[-1], "nothing was full"
    scene.put("full", b"full").require(7, words="free space in .*spool")
    scene.drain().require(0, 7)
    disk.make_room()
    assert trainer.log("full-0", os.urandom(100)) == {}
    scene.settle()


def test_a_full_destination_is_waited_for(tmp_path: Path, disk: Tmpfs) -> None:
    """Code 4 and the reason in `status`, nothing half made; it goes on when there is room."""
    scene = Scene(tmp_path, remote=disk.root / "remote")
    scene.make()
    scene.put_here("small", b"small")
    scene.drain().require(0)
    content = os.urandom(6 << 20)
    scene.put_here("large", content)
    disk.fill(leave=2 << 20)
    drain = scene.drain("--timeout", "5s")
    drain.require(4, words="No space left")
    assert "No space left" in scene.run("ls", "--json").said
    disk.make_room()
    scene.settle()


def _pending(scene: Scene) -> bool:
    from uploader import Spool

    with Spool(scene.spool_path, producer=False) as spool:
        return bool(spool.pending(limit=1))
