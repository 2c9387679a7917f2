"""Exit codes: what each error and each ending is to the script that started the command."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from uploader import errors
from uploader.cli.exit_codes import EXPLAINED, ExitCode, of_ending, of_error
from uploader.drain.terms import Ending
from uploader.model import Status
from uploader.state import State

#: every class of `uploader.errors` that is raised, and its code
CODES: dict[type[errors.UploaderError], ExitCode] = {
    errors.UploaderError: ExitCode.INTERNAL,
    errors.SpoolError: ExitCode.SPOOL,
    errors.NotASpoolError: ExitCode.SPOOL,
    errors.SpoolDamagedError: ExitCode.SPOOL,
    errors.SpoolVersionError: ExitCode.SPOOL,
    errors.DestinationMismatchError: ExitCode.USAGE,
    errors.SpoolBusyError: ExitCode.USAGE,
    errors.SpoolFullError: ExitCode.FULL,
    errors.SourceChangedError: ExitCode.USAGE,
    errors.UploadFailedError: ExitCode.DEAD_LETTERS,
    errors.StoreError: ExitCode.REFUSED,
    errors.TransientError: ExitCode.REFUSED,
    errors.ThrottledError: ExitCode.REFUSED,
    errors.SessionLostError: ExitCode.REFUSED,
    errors.AuthError: ExitCode.REFUSED,
    errors.PermanentError: ExitCode.REFUSED,
    errors.NotFoundError: ExitCode.USAGE,
    errors.ConflictError: ExitCode.REFUSED,
    errors.DamagedError: ExitCode.DEAD_LETTERS,
}

NOTHING = Status(
    spool="/s", destination="file:///d", counts=dict.fromkeys(State, 0), bytes_pending=0,
    bytes_sent=0, bytes_done=0, oldest_ready_age=None, throughput=0.0, agent_pid=None,
    agent_workers=None, in_flight=(), dead=(),
)  # fmt: skip
WAITING = dataclasses.replace(NOTHING, counts={**NOTHING.counts, State.READY: 1})
DEAD = dataclasses.replace(NOTHING, dead=(object(),))  # type: ignore[arg-type]
BOTH = dataclasses.replace(WAITING, dead=DEAD.dead)


def test_every_error_has_its_code() -> None:
    """A class that is added to `uploader.errors` must be given one here."""
    classes = {
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.UploaderError)
    }
    assert set(CODES) == classes
    for kind, code in CODES.items():
        assert of_error(kind.__new__(kind)) is code, kind


def test_what_nobody_foresaw_is_an_internal_error() -> None:
    """Also where its class is one that bad arguments raise: those are told apart at the call."""
    for error in (RuntimeError(), ValueError(), KeyError("x"), OSError(), MemoryError()):
        assert of_error(error) is ExitCode.INTERNAL
    assert of_error(TimeoutError()) is ExitCode.WORK_REMAINS


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        (Ending.EMPTY, NOTHING, 0),
        (Ending.EMPTY, DEAD, 3),
        (Ending.IDLE, NOTHING, 0),
        (Ending.IDLE, DEAD, 3),
        (Ending.DEADLINE, WAITING, 4),
        (Ending.DEADLINE, BOTH, 4),
        (Ending.DEADLINE, NOTHING, 0),
        (Ending.REFUSED, WAITING, 5),
        (Ending.REFUSED, BOTH, 5),
        (Ending.INTERRUPTED, WAITING, 130),
        (Ending.INTERRUPTED, DEAD, 3),
        (Ending.INTERRUPTED, NOTHING, 0),
    ],
)
def test_an_ending_and_what_it_left_make_the_code(
    ending: Ending, status: Status, code: int
) -> None:
    """0 is said only where all arrived; an interruption that left nothing is none."""
    assert of_ending(ending, status) == code


def test_a_drain_that_ended_as_somebody_put_more_does_not_say_that_all_arrived() -> None:
    """A launcher that reads 0 throws the spool away."""
    assert of_ending(Ending.EMPTY, WAITING) is ExitCode.WORK_REMAINS
    assert of_ending(Ending.EMPTY, BOTH) is ExitCode.WORK_REMAINS


def test_each_code_is_explained() -> None:
    """By the number that a shell shows."""
    explained = {int(line.split()[0]) for line in EXPLAINED.splitlines()[2:]}
    assert explained == {int(code) for code in ExitCode}
