"""Tries the states in which a power loss may leave a spool, in a model of the disk.

Some of each scenario: `UPLOADER_POWER=all` tries them all, `UPLOADER_POWER_STATES=N` so many, and
`UPLOADER_POWER_SEED` chooses others.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import uploader
from tests.power.campaign import (
    Judge,
    Recording,
    caught_without,
    every_state,
    recorded,
    some_states,
)
from tests.power.scenarios import PLAYED
from tests.power.tracing import CannotTraceError, compiled

ALL = os.environ.get("UPLOADER_POWER") == "all"
STATES = int(os.environ.get("UPLOADER_POWER_STATES", "80"))  #: of each scenario
TIME_LIMIT = 0 if ALL or STATES > 1000 else 120  #: seconds; each state is recovered and drained
SEED = int(os.environ.get("UPLOADER_POWER_SEED", "1"))
SPOOL = Path(uploader.__file__).with_name("spool")


@pytest.fixture(scope="module", autouse=True)
def _recorder() -> None:
    """Compile what records, once; only where nobody may install a compiler is that a reason."""
    try:
        compiled()
    except CannotTraceError as error:
        if os.geteuid() == 0:  # then `scripts/tools` has installed it
            raise
        pytest.skip(f"NO STATE WAS TRIED: {error}")


@pytest.fixture(scope="module")
def recordings() -> Iterator[dict[str, Recording]]:
    """What was recorded; each scenario is played when it is first asked for."""
    with ExitStack() as stack:

        class Played(dict[str, Recording]):
            def __missing__(self, name: str) -> Recording:
                self[name] = stack.enter_context(recorded(name))
                return self[name]

        yield Played()


@pytest.mark.timeout(TIME_LIMIT)
@pytest.mark.parametrize("scenario", PLAYED)
def test_no_power_loss_breaks_a_promise(recordings: dict[str, Recording], scenario: str) -> None:
    """Promises 1, 2, 3, 7, 8, from each state: it is recovered and drained, and all is right."""
    recording = recordings[scenario]
    judge = Judge(recording)
    chosen = every_state(recording, SEED) if ALL else some_states(recording, STATES, SEED)
    for moment, state in chosen:
        wrong = judge.wrong(moment, state)
        assert wrong is None, str(wrong)
    assert judge.tried > STATES / 4


@pytest.mark.timeout(TIME_LIMIT)
def test_each_fsync_of_the_spool_is_needed(recordings: dict[str, Recording]) -> None:
    """Without any one of them some state breaks a promise; there is none that was not recorded."""
    recording = recordings["one"]
    ours = [sync for sync in recording.syncs if sync.startswith(("spool/", "sqlite "))]
    assert {sync.partition(" ")[0] for sync in ours} == {"sqlite", *_fsyncs_in_the_source()}
    assert [sync for sync in ours if not caught_without(recording, sync, SEED)] == []


def _fsyncs_in_the_source() -> set[str]:
    """Return file and function of each call of an fsync in `uploader/spool`."""
    found = set()
    for path in SPOOL.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name != "sync_directory":
                calls = {ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)}
                if calls & {"os.fsync", "os.fdatasync", "sync_directory"}:
                    found.add(f"spool/{path.name}:{function.name}")
    return found


def test_a_destination_that_the_first_drain_makes_is_durable() -> None:
    """What is done is there after a power loss, also in a directory that was made for it."""
    with recorded("one", destination=False) as recording:
        judge = Judge(recording)
        *_, last = recording.moments()
        wrong = [
            found
            for moment, state in some_states(recording, 60, SEED)
            if (found := judge.wrong(moment, state))
        ]
    assert last.marks
    assert not wrong
