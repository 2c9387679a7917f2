"""Trains nothing and logs for ever: one rank of the chaos test, killed and started again at will.

Before each log call it writes down what it is about to log, and after it that the call returned:
from then on, and not before, the artifact is an obligation. Contents can be told from the diary.

    python -m tests.crash.trainer SPOOL DESTINATION RANK DIARY STOP
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from destination import Event, Logger, LogLevel, ObjectStoreLogger

SIZES = (0, 1, 700, 65_536, 200_000, 3_300_000)  #: bytes; the last goes in four parts
EVENT_EVERY = 10  #: log calls between two BATCH_END
HOT_NAMES = 3  #: names a rank that are overwritten again and again


def content(rank: int, number: int, size: int) -> bytes:
    """Return the bytes of version `number`: they begin with rank and number, to be read back."""
    head = f"{rank:04d} {number:010d} ".encode()
    return head + random.Random(f"{rank}.{number}").randbytes(size)


def number_of(data: bytes) -> int:
    """Return the version number that a content begins with."""
    return int(data[5:15])


def main(spool: str, destination: str, rank: int, diary: Path, stop: Path) -> None:
    """Log until the file `stop` is there."""
    uploads = ObjectStoreLogger(destination, spool=spool, object_name="{artifact_name}")
    state = SimpleNamespace(run_name="chaos")
    logger = Logger(state, destinations=[uploads])
    uploads.run_event(Event.INIT, state, logger)
    source = diary.with_suffix(".source")
    number = len(diary.read_text().splitlines()) if diary.exists() else 0
    with diary.open("a") as lines:
        while not stop.exists():
            number += 1
            log_one(logger, lines, source, rank, number)
            if number % EVENT_EVERY == 0:
                uploads.run_event(Event.BATCH_END, state, logger)
    uploads.close(state, logger)
    uploads.post_close()


def log_one(logger: Logger, lines: TextIO, source: Path, rank: int, number: int) -> None:
    """Log a checkpoint with its alias, or a new version of a name that is overwritten."""
    choice = random.Random(f"{rank}/{number}")
    size = choice.choices(SIZES, weights=(1, 2, 8, 8, 4, 1))[0]
    source.write_bytes(content(rank, number, size))
    hot = choice.random() < 0.5
    name = f"hot/{rank}-{choice.randrange(HOT_NAMES)}" if hot else f"ckpt/{rank}-{number}"
    entry = {"name": name, "rank": rank, "number": number, "size": size}
    write_down(lines, entry | {"done": False})
    logger.file_artifact(LogLevel.EPOCH, name, source, overwrite=hot)
    source.write_bytes(b"changed after the call; nobody may ever see this")
    if not hot:
        alias = f"latest/{rank}"
        write_down(lines, {"alias": alias, "target": name, "number": number, "done": False})
        logger.symlink_artifact(LogLevel.EPOCH, name, alias, overwrite=True)
        write_down(lines, {"alias": alias, "target": name, "number": number, "done": True})
    write_down(lines, entry | {"done": True})


def write_down(lines: TextIO, entry: dict[str, Any]) -> None:
    """Append to the diary; in the kernel's hands when this returns, which is safe from SIGKILL."""
    lines.write(json.dumps(entry) + "\n")
    lines.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
    os._exit(0)
