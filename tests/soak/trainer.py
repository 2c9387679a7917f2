"""Trains nothing and logs for ever: one rank of the soak, killed and started again at will.

Before each log call it writes down what it is about to log, and after it that the call returned:
from then on, and not before, the artifact is an obligation. A call that was refused as the spool is
full makes none: of that one nothing may ever be seen. Contents can be told from the diary.

    python -m tests.soak.trainer SPOOL DESTINATION RANK DIARY STOP SIZES
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

from destination import Event, Logger, LogLevel, ObjectStoreLogger
from uploader.errors import SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (0, 1, 700, 65_536, 200_000)  #: bytes; what is larger depends on the destination's parts
WEIGHTS = (1.0, 2.0, 8.0, 8.0, 4.0)
LARGE, HUGE = 0.8, 0.1  #: weights of the larger sizes, the last of them if there are two
EVENT_EVERY = 10  #: log calls between two BATCH_END
HOT_NAMES = 3  #: names a rank that are overwritten again and again
PAUSE = 0.1  #: seconds between log calls on average: what two cores can also upload
FULL = 7  #: exit code: no room for the spool's own files when it was opened

_BLOCK = 1 << 20  #: bytes; every block of a content differs from the others


def content(rank: int, number: int, size: int) -> bytes:
    """Return the bytes of version `number`: they begin with rank and number, to be read back."""
    head = f"{rank:04d} {number:010d} ".encode()
    block = random.Random(f"{rank}.{number}").randbytes(min(size, _BLOCK))
    blocks = [index.to_bytes(4, "big") + block[4:] for index in range(size // _BLOCK)]
    return head + b"".join(blocks) + block[: size % _BLOCK]


def number_of(data: bytes) -> int:
    """Return the version number that a content begins with."""
    return int(data[5:15])


def main(  # noqa: PLR0917  as on the command line
    spool: str, destination: str, rank_text: str, diary: Path, stop: Path, sizes: str
) -> int:
    """Log until the file `stop` is there, or the soak is not."""
    rank, larger = int(rank_text), json.loads(sizes)
    uploads = ObjectStoreLogger(destination, spool=spool, object_name="{artifact_name}")
    state = SimpleNamespace(run_name="soak")
    logger = Logger(state, destinations=[uploads])
    try:
        uploads.run_event(Event.INIT, state, logger)
    except SpoolFullError as error:
        print(f"full: {error}", file=sys.stderr)
        return FULL
    number = len(diary.read_text().splitlines()) if diary.exists() else 0
    parent, pause = os.getppid(), threading.Event()
    with diary.open("a") as lines:
        while not stop.exists() and os.getppid() == parent:
            number += 1
            Log(logger, lines, diary.with_suffix(".source"), rank, number).one(larger)
            if number % EVENT_EVERY == 0:
                uploads.run_event(Event.BATCH_END, state, logger)
            pause.wait(random.expovariate(1 / PAUSE))
    uploads.close(state, logger)
    uploads.post_close()
    return 0


class Log:
    """What is logged at one moment."""

    def __init__(self, logger: Logger, lines: TextIO, source: Path, rank: int, number: int) -> None:
        self._logger = logger
        self._lines = lines
        self._source = source
        self._rank, self._number = rank, number

    def one(self, larger: list[int]) -> None:
        """Log a checkpoint with its alias, or a new version of a name that is overwritten."""
        rank, number = self._rank, self._number
        choice = random.Random(f"{rank}/{number}")
        weights = (*WEIGHTS, LARGE, HUGE)[: len(SIZES) + len(larger)]
        size = choice.choices((*SIZES, *larger), weights)[0]
        hot = choice.random() < 0.5 and size not in larger[1:]
        name = f"hot/{rank}-{choice.randrange(HOT_NAMES)}" if hot else f"ckpt/{rank}-{number}"
        self._source.write_bytes(content(rank, number, size))
        entry = {"name": name, "rank": rank, "number": number, "size": size}
        taken = self._noted(
            entry,
            lambda: self._logger.file_artifact(LogLevel.EPOCH, name, self._source, overwrite=hot),
        )
        self._source.write_bytes(b"changed after the call; nobody may ever see this")
        if taken and not hot:
            alias = f"latest/{rank}"
            self._noted(
                {"alias": alias, "target": name, "number": number},
                lambda: self._logger.symlink_artifact(LogLevel.EPOCH, name, alias, overwrite=True),
            )

    def _noted(self, entry: dict[str, Any], call: Callable[[], object]) -> bool:
        """Make a call, and write down how it ended; tell whether it returned."""
        self._write_down(entry, "begun")
        try:
            call()
        except SpoolFullError:
            self._write_down(entry, "refused")
            return False
        self._write_down(entry, "done")
        return True

    def _write_down(self, entry: dict[str, Any], state: str) -> None:
        """Append to the diary; in the kernel's hands when this returns, safe from SIGKILL."""
        self._lines.write(json.dumps(entry | {"state": state}) + "\n")
        self._lines.flush()


if __name__ == "__main__":
    given = sys.argv[1:]
    os._exit(main(given[0], given[1], given[2], Path(given[3]), Path(given[4]), given[5]))
