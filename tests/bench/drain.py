"""Measures how fast a spool drains to a directory on the same disk, beside cp and sync.

For information: cp takes no checksums, records nothing, and would start over after a kill.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import installed
from tests.bench.blocking import GIB, KIB, MIB, name_of
from tests.bench.measure import Peer, Result, take_turns
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETS = ((2000, 64 * KIB), (64, 16 * MIB), (1, 2 * GIB))  #: how many files, of how many bytes
ROUNDS = 3
CHUNK = 1 << 20  #: bytes written at a time


def run(folder: Path, rounds: int, workers: int, share: float) -> Result:
    """Drain each set; `share` of its files (of its bytes, for a single file)."""
    result = Result(f"drain ({workers} workers)")
    for files, size in _scaled(share):
        place = folder / f"{files}x{size}"
        peers = _peers(place, files, size, workers)
        series = take_turns(f"{files} x {name_of(size)}", peers, rounds)
        result.add(series)
        rates = ", ".join(
            f"{one.name} {files * size / MIB / one.median:.0f} MiB/s, "
            f"{files / one.median:.0f} files/s"
            for one in series
        )
        result.notes.append(f"{series[0].case}: {rates}")
        shutil.rmtree(place)
    return result


def _scaled(share: float) -> Iterator[tuple[int, int]]:
    for files, size in SETS:
        few = max(1, int(files * share))
        yield few, size if files > 1 else max(1, int(size * share))


def _peers(place: Path, files: int, size: int, workers: int) -> list[Peer]:
    """Make the files and a spool with all of them; each round works on copies."""
    sources, filled, spool, remote = (place / name for name in ("src", "filled", "spool", "remote"))
    sources.mkdir(parents=True)
    environment = installed.environment(place)
    with Spool(filled, remote.as_uri()) as made:
        for number in range(files):
            source = sources / f"{number:05d}"
            write(source, size)
            made.put_file(source.name, source)

    def copy() -> None:
        _call("cp", "-r", str(sources), str(remote))
        _call("sync", "-f", str(remote))

    def prepare_spool() -> None:
        _call("cp", "-a", str(filled), str(spool))
        os.sync()

    def drain() -> None:
        _call(*installed.drain(spool, "--workers", str(workers)), env=environment)

    def clean() -> None:
        shutil.rmtree(remote)
        shutil.rmtree(spool, ignore_errors=True)

    return [
        Peer("cp -r + sync", copy, os.sync, clean),
        Peer("uploader drain", drain, prepare_spool, clean),
    ]


def write(path: Path, size: int) -> None:
    """Make a file of so many bytes that nothing can compress."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - start)))


def _call(*command: str, env: Mapping[str, str] | None = None) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, env=env, check=True, stdout=quiet, stderr=quiet)
