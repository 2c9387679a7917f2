"""Cuts the power for real: a file system goes down without its log, and comes back.

On ext4 and XFS, each in a file; on XFS the spool's copies are clones. At each named crash point,
and at any moment, while ranks log and a drain uploads. `UPLOADER_POWER=all` does all of it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.volumes import CannotMountError, sync
from tests.power.oracle import Owed, faults
from tests.power.plug import SIZES, Disk, disk, shut_down
from tests.power.scenarios import DESTINATION, SPOOL
from tests.power.traced import DIARY, PLUG
from tests.power.world import World
from uploader.crashpoint import SPOOL_POINTS, SUPERVISOR_POINTS, VARIABLE, WORKER_POINTS
from uploader.store.testing.faulty import VARIABLE as FAULTS

ALL = os.environ.get("UPLOADER_POWER") == "all"
SEED = int(os.environ.get("UPLOADER_POWER_SEED", "1"))
TIME_LIMIT = 60  #: seconds for any one process
TRACED = (sys.executable, "-m", "tests.power.traced")

POINTS = SPOOL_POINTS + SUPERVISOR_POINTS + WORKER_POINTS
#: Without the option: those after which most is at stake, each on one kind of file system.
ENOUGH = [
    ("ext4", "spool.renamed"),
    ("ext4", "spool.committed"),
    ("ext4", "supervisor.finish-committed"),
    ("xfs", "spool.directories-synced"),
    ("xfs", "supervisor.part-recorded"),
]
CUTS = [(kind, point) for kind in SIZES for point in POINTS] if ALL else ENOUGH
MOMENTS = [(kind, number) for kind in SIZES for number in range(40 if ALL else 1)]


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def volume(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disk]:
    """A file system of each kind; where none can be made that is told as what it is."""
    try:
        with disk(request.param, tmp_path_factory.mktemp("power")) as made:
            yield made
    except CannotMountError as error:
        pytest.xfail(f"NO POWER WAS CUT on {request.param}: {error}")


class Outage:
    """One loss of power: what was begun before it, and what must be there after it."""

    def __init__(self, volume: Disk, folder: Path) -> None:
        """Prepare a place of its own on the disk; what was there before is certain."""
        self.volume = volume
        self.base = volume.root / folder.name
        (self.base / DESTINATION).mkdir(parents=True)
        sync(volume.root)
        self.diary = folder / "diary"
        self.diary.touch()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._known: int | None = None  #: how much was written down before the power went

    def start(self, *arguments: str, point: str = "", faults: str = "") -> subprocess.Popen[bytes]:
        """Start a process; with `point` the power goes there."""
        extra = {DIARY: str(self.diary), VARIABLE: point, FAULTS: faults}
        process = subprocess.Popen(
            [*TRACED, *arguments],
            env={**os.environ, **extra, PLUG: str(self.volume.root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    def end_processes(self) -> None:
        """Have nothing run that was running when the power went."""
        for process in self._processes:
            process.kill()
            if process.stderr and not process.stderr.closed:
                process.communicate()

    def play(self, point: str = "") -> bytes:
        """Have a rank log what it has to; return what it complained of."""
        rank = self.start("scenario", "rank", str(self.base), point=point)
        return rank.communicate(timeout=TIME_LIMIT)[1]

    def drain(self, point: str = "", faults: str = "") -> subprocess.Popen[bytes]:
        """Start a drain."""
        spool = str(self.base / SPOOL)
        return self.start("uploader", "drain", "--spool", spool, point=point, faults=faults)

    def marks(self) -> list[dict[str, object]]:
        """What the ranks wrote down."""
        return [json.loads(line) for line in self.diary.read_text().splitlines()]

    def begin(self) -> None:
        """Let the power go, now.

        What returns only afterwards is not an obligation: in the very moment of the shutdown both
        file systems may say of an fsync that it was made, and have not made it (in 3 of 30 tries,
        with a plain file). Nothing goes on running in a real loss of power.
        """
        self._known = len(self.marks())
        shut_down(str(self.volume.root))

    def is_over(self) -> bool:
        """Tell whether the power is gone."""
        try:
            (self.base / "probe").touch()
        except OSError:
            return True
        return False

    def faults(self) -> list[str]:
        """Have the power come back; recover, drain, and return what broke a promise."""
        self.volume.come_back()
        shared = self.base / SPOOL / "spool.db-shm"
        if shared.exists():
            os.utime(shared, (0, 0))  # the machine was not really down: from before its boot
        rooms = [str(path) for path in (self.base / SPOOL).glob("**/") if path.is_dir()]
        marks = self.marks()
        late = [] if self._known is None else marks[self._known :]
        certain = marks[: len(marks) - len(late)] + [one for one in late if "returned" not in one]
        return faults(World(self.base, rooms), Owed(certain))


@pytest.fixture
def outage(volume: Disk, tmp_path: Path) -> Iterator[Outage]:
    """Yield the outage of one test; the next one finds the power on, whatever happens."""
    made = Outage(volume, tmp_path)
    yield made
    made.end_processes()
    if made.is_over():
        volume.come_back()


@pytest.mark.parametrize(("volume", "point"), CUTS, indirect=["volume"])
def test_nothing_is_lost_when_the_power_goes_at_a_named_point(outage: Outage, point: str) -> None:
    """Promises 1, 2, 3, 7, 8: whatever returned arrives, as it was, wherever the power went."""
    if point in SPOOL_POINTS:
        complaint = outage.play(f"{point}:2")
    else:
        outage.play()
        # A share of failures, so that what comes after one is passed too.
        share = 0.9 if point == "supervisor.failure-recorded" else 0.2
        drain = outage.drain(point, f"transient={share},seed=5")
        while drain.poll() is None and not outage.is_over():
            time.sleep(0.01)
        drain.kill()
        complaint = drain.communicate()[1]
    assert outage.is_over(), f"{point} was never reached: {complaint.decode()}"
    assert outage.faults() == []


@pytest.mark.parametrize(("volume", "number"), MOMENTS, indirect=["volume"])
def test_nothing_is_lost_when_the_power_goes_at_any_moment(outage: Outage, number: int) -> None:
    """The same while two ranks log and a drain uploads; the moment is chosen by chance."""
    dice = random.Random(f"{SEED}.{outage.volume.kind}.{number}")
    for rank in ("rank-0", "rank-for-long"):
        outage.start("scenario", rank, str(outage.base))
    some = dice.randrange(3, 60)
    while len(outage.marks()) < some:
        time.sleep(0.005)
    outage.drain()
    time.sleep(dice.random() / 2)
    outage.begin()
    outage.end_processes()
    assert len(outage.marks()) >= some
    assert outage.faults() == []
