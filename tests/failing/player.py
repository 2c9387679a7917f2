"""Plays one case after another in a process in which calls fail on request; answers in JSON.

    python -m tests.failing.player STATE FOLDER        with the environment of `shim.py`

Each line that it reads names a scenario and a fault; each that it writes says what came of it.
"""

from __future__ import annotations

import errno
import gc
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.failing import draining, enqueuing
from tests.failing.shim import Fault, Kind, Shim
from tests.failing.stage import Stage, descriptors
from uploader.cli.exit_codes import of_error
from uploader.errors import SpoolDamagedError, SpoolError, SpoolFullError

QUICK = 5.0  #: seconds for a call that fails
PATIENCE = 25.0  #: seconds for one that gets no lock: SQLite tries for ten, each time

SCENARIOS: dict[str, Callable[[Stage], Any]] = {**enqueuing.SCENARIOS, **draining.SCENARIOS}


@dataclass
class Outcome:
    """What came of a case."""

    calls: dict[str, int] = field(default_factory=dict)  #: that were made, by kind
    failed: int = 0  #: how many of them
    path: str = ""  #: what the first was called for
    error: str = ""  #: what was raised: its class
    words: str = ""  #: and what it said
    exit_code: int = 0  #: of a command that this error ends
    notes: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def play(stage: Stage, shim: Shim, name: str, fault: Fault | None) -> Outcome:
    """Play a case: the call under the fault, the same call once more, and then the judgment."""
    stage.lay()
    gc.collect()
    before = descriptors()
    scene = SCENARIOS[name](stage)
    outcome = Outcome()
    begun = time.monotonic()
    try:
        with shim.armed(fault):
            scene.act()
    except Exception as error:  # noqa: BLE001  whatever it is, it is judged
        outcome.error, outcome.words = type(error).__name__, str(error)
        outcome.exit_code = int(of_error(error))
        outcome.wrong += complaints(error, fault, shim.path)
    if time.monotonic() - begun > (PATIENCE if fault and fault.kind is Kind.LOCK else QUICK):
        outcome.wrong.append(f"it took {time.monotonic() - begun:.1f} s")
    outcome.calls = {kind.name: number for kind, number in shim.calls.items()}
    outcome.failed, outcome.path = shim.failed, shim.path
    try:
        outcome.wrong += scene.after(raised=bool(outcome.error))
        outcome.notes = scene.notes
        scene.close()
        leaked = descriptors() - before
        outcome.wrong += [f"still open: {what}" for _, what in leaked]
        outcome.wrong += scene.wrong()
    except Exception as error:  # noqa: BLE001  what should have gone well again did not
        outcome.wrong.append(f"afterwards {type(error).__name__}: {error}")
        with suppress(Exception):
            scene.close()
    if not outcome.wrong:
        stage.found_whole()
    return outcome


def complaints(error: Exception, fault: Fault | None, path: str) -> list[str]:
    """Return what is wrong with an error that reached the caller."""
    what = f"{type(error).__name__}: {error}"
    if fault is None:
        return [what]
    ours = isinstance(error, SpoolError)
    systems = isinstance(error, OSError) and not ours
    writes = fault.kind is Kind.WRITE and not path.endswith("-shm")
    rules = (
        (not ours and not systems, "undocumented"),
        (fault.error == errno.EINTR and systems, "an interruption is no failure"),
        (
            fault.error == errno.ENOSPC and writes and not isinstance(error, SpoolFullError),
            "not called full",
        ),
        (fault.error != errno.EIO and isinstance(error, SpoolDamagedError), "nothing is damaged"),
        (systems and getattr(error, "errno", None) != fault.error, "the errno is another"),
        (systems and not getattr(error, "filename", None), "it does not say where"),
    )
    return [f"{why}: {what}" for broken, why in rules if broken]


@contextmanager
def quickly() -> Iterator[None]:
    """Have nothing wait: neither for a lock, nor before a try is made again."""
    with (
        patch("uploader.spool.journal.BUSY_TIMEOUT", 0.05),
        patch("tenacity.nap.time.sleep", lambda seconds: None),
    ):
        yield


def main(state: str, folder: str) -> None:
    """Answer requests until there are no more."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    base = Path(folder, "base")
    shim, stage = Shim(Path(state), base), Stage(Path(folder))
    with quickly():
        for line in sys.stdin:
            request = json.loads(line)
            given = request["fault"]
            fault = Fault(**{**given, "kind": Kind(given["kind"])}) if given else None
            outcome = play(stage, shim, request["scenario"], fault)
            print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
