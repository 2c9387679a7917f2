"""Say by a number how a command ended. Scripts rely on these: they never change their meaning."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from uploader import errors

if TYPE_CHECKING:
    from uploader.drain.terms import Ending
    from uploader.model import Status

PIPE_CLOSED = 141  #: whoever read our output left; as a shell reports SIGPIPE (128 + 13)


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    DEAD_LETTERS = 3
    WORK_REMAINS = 4
    REFUSED = 5
    SPOOL = 6
    FULL = 7
    INTERRUPTED = 130


EXPLAINED = """\
Exit codes:

    0  done: everything that was asked for, and of drain: everything arrived
    1  internal error, or the machine's: too many open files, say
    2  usage: bad arguments, name or file; another destination; run: taken spool
    3  dead letters remain; of verify and get: bytes are missing or wrong
    4  work remains: the deadline passed, or more was put in meanwhile
    5  the destination refused, or cannot be reached
    6  not a spool, a damaged one, or one of a newer version
    7  the spool, or the disk that it is on, is full
  130  interrupted; of run and drain: and work remains"""

#: Which exit code an error is: the first class that fits, so the special ones come first.
_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.SpoolFullError, ExitCode.FULL),
    (errors.DestinationMismatchError, ExitCode.USAGE),
    (errors.SpoolBusyError, ExitCode.USAGE),
    (errors.SourceChangedError, ExitCode.USAGE),
    (errors.SpoolError, ExitCode.SPOOL),
    (errors.UploadFailedError, ExitCode.DEAD_LETTERS),
    (errors.DamagedError, ExitCode.DEAD_LETTERS),
    (errors.NotFoundError, ExitCode.USAGE),
    (errors.StoreError, ExitCode.REFUSED),
    (errors.UploaderError, ExitCode.INTERNAL),
    (TimeoutError, ExitCode.WORK_REMAINS),
)


def of_error(error: BaseException) -> ExitCode:
    """Return the code of a command that an error ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.INTERNAL)


def of_ending(ending: Ending, status: Status) -> ExitCode:
    """Return the code of a `drain` or `run` that ended so and left the spool in this state."""
    if ending.value == "refused":
        return ExitCode.REFUSED
    if status.pending:  # whatever the reason: also what was put in just as the drain left
        interrupted = ending.value == "interrupted"
        return ExitCode.INTERRUPTED if interrupted else ExitCode.WORK_REMAINS
    return ExitCode.DEAD_LETTERS if status.dead else ExitCode.DONE
