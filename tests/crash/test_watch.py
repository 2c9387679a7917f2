"""Kills `uploader watch`: every complete file is spooled, and none twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.crash.scene import KILLED, Scene
from tests.crash.writer import content
from uploader.checksum import crc32c
from uploader.crashpoint import SPOOL_POINTS
from uploader.spool.recovery import sweep

SECONDS = float(os.environ.get("UPLOADER_WATCH_SECONDS", "6"))  #: for which files arrive


def words_of(scene: Scene, root: Path, *more: str) -> list[str]:
    """Return the command that watches."""
    where = ("--spool", str(scene.spool), "--destination", f"file://{scene.destination}")
    return ["watch", str(root), *where, "--agent", "external", "--overwrite", "--quiet", *more]


def once(scene: Scene, root: Path) -> int:
    """Spool what is there, in this process; return the exit code."""
    with Shell(scene.directory).in_process() as run:
        return run(words_of(scene, root, "--once"))


@pytest.mark.parametrize("point", SPOOL_POINTS)
def test_a_watch_that_is_killed_at_any_point_spools_each_file_once(
    tmp_path: Path, point: str
) -> None:
    """Known and spooled are one commit: the next watch knows neither too much nor too little."""
    scene = Scene(tmp_path)
    root = tmp_path / "out"
    root.mkdir()
    sizes = [11]
    if point == "spool.superseded-blob-unlinked":
        (root / "file").write_text("old")
        assert once(scene, root) == 0
        sizes = [3, 11]
    (root / "file").write_text("new version")
    program = [sys.executable, "-m", "uploader", *words_of(scene, root, "--once")]
    environment = scene.environment(crash=point)
    assert subprocess.run(program, env=environment, check=False).returncode == KILLED
    assert [once(scene, root), once(scene, root)] == [0, 0]
    with scene.open() as spool:
        assert [one.size for one in spool.uploads()] == sizes
        sweep(spool.layout, spool.ledger)
        payload = spool.layout.blob(spool.uploads()[-1].id)
        assert scene.leftovers() == [str(payload)]
        assert payload.read_bytes() == b"new version"


class Written:
    """What the diary says."""

    def __init__(self, diary: Path) -> None:
        """Read it; the writer was not killed, so each line is whole."""
        self.versions: dict[str, list[tuple[int, int]]] = defaultdict(list)  #: number, size
        self.done: set[int] = set()
        for line in diary.read_text().splitlines():
            entry = json.loads(line)
            if "begun" in entry:
                self.versions[entry["name"]].append((entry["begun"], entry["size"]))
            else:
                self.done.add(entry["done"])

    def faults(
        self, spooled: dict[str, list[int | None]], arrived: dict[str, bytes | str]
    ) -> list[str]:
        """Return what was missed, what was spooled twice, and what is not as it was written."""
        found = [
            f"nobody wrote {name}" for name in (*spooled, *arrived) if name not in self.versions
        ]
        for name, versions in self.versions.items():
            sums = [crc32c(content(number, size)) for number, size in versions]
            taken = spooled.get(name, [])
            if not set(taken) <= set(sums):
                found.append(f"{name} was spooled before it was complete")
            if len(set(taken)) != len(taken):
                found.append(f"{name} was spooled twice: {len(taken)} times")
            if [one for one in sums if one in taken] != taken:
                found.append(f"{name} was spooled out of order")
            last = versions[-1]
            if last[0] in self.done and arrived.get(name) != content(*last):
                found.append(f"{name} was missed")
        return found


class Torment:
    """A watch that is killed and started again while files arrive."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Use a folder; everything random comes from `seed`."""
        self.scene = Scene(folder)
        self.scene.open().close()
        self.root, self.diary, self.stop = folder / "out", folder / "diary", folder / "stop"
        self.root.mkdir()
        self.diary.touch()
        self.log = folder / "log"
        self.chance, self.seed = random.Random(seed), seed
        self.watches: list[subprocess.Popen[bytes]] = []

    def run(self, seconds: float) -> None:
        """Go on for a while; then let the writer end, and the last watch leave."""
        program = [sys.executable, "-m", "tests.crash.writer"]
        files = subprocess.Popen([*program, self.root, self.diary, str(self.seed), self.stop])
        try:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                self._start()
                if self.chance.random() < 0.7:
                    self._until_it_watches()
                time.sleep(self.chance.uniform(0, 0.7))
                self.watches[-1].kill()
                self.watches[-1].wait()
            self._start()
            self._until_it_watches()
            self.stop.touch()
            assert files.wait(30) == 0
            self.watches[-1].terminate()
            assert self.watches[-1].wait(60) == 0, self.log.read_text()[-2000:]
        finally:
            for process in (files, *self.watches):
                process.kill()
                process.wait()

    def _start(self) -> None:
        words = words_of(self.scene, self.root, "--pattern", "*.pt", "-v")
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            program = [sys.executable, "-m", "uploader", *words]
            self.watches.append(subprocess.Popen(program, stdout=log, stderr=log))

    def _until_it_watches(self) -> None:
        deadline = time.monotonic() + 30
        while b"watching" not in self.log.read_bytes():
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.01)

    def spooled(self) -> dict[str, list[int | None]]:
        """Return the checksums of what was spooled, by name, in order."""
        found: dict[str, list[int | None]] = defaultdict(list)
        with self.scene.open() as spool:
            for one in spool.uploads():
                found[one.name].append(one.crc32c)
        return found


@pytest.mark.timeout(90 + 3 * SECONDS)
def test_a_watch_that_is_killed_again_and_again_misses_nothing(tmp_path: Path) -> None:
    """While files arrive in every way: none missed, none twice, none half written."""
    seed = random.SystemRandom().randrange(1 << 32)
    torment = Torment(tmp_path, seed)
    torment.run(SECONDS)
    written, spooled = Written(torment.diary), torment.spooled()
    assert torment.scene.run("drain").returncode == 0
    total = sum(map(len, spooled.values()))
    print(
        f"seed {seed}: {len(torment.watches)} watches, {len(written.done)} files, {total} spooled"
    )
    assert written.faults(spooled, torment.scene.arrived()) == [], f"seed {seed}"
    assert len(written.done) > 5 * SECONDS
    assert torment.scene.leftovers() == []
