"""Keep the agent's log lines in `SPOOL/agent.log`, and that log from growing without end.

- Every process of the agent appends: a line is one write to the end of the file, so that lines of
  several processes stay whole.
- Only the supervisor rotates, while it has the lock. It copies, and then cuts the log to nothing:
  the file stays the same one. Whoever has it open goes on writing to it, as the stderr of an agent
  that `ObjectStoreLogger` started, of its workers, and of an interpreter that dies.
- Where stderr is the log already, no line is written twice.
- A full disk, or a log that cannot be written, costs lines of the log, and is said on stderr. It
  stops no upload. What was put in the log's place is not followed, and not waited for.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.observer import Observer
from uploader.observe import log
from uploader.spool.layout import OLD_LOGS, open_private

if TYPE_CHECKING:
    from uploader.drain.observer import Load
    from uploader.spool.layout import Layout

MAX_BYTES = 10 << 20  #: bytes of the log before it is rotated: 50,000 uploads, opened in any editor
LOOK = 1.0  #: seconds between looks at its size
TRY_AGAIN = 60.0  #: seconds after which a rotation that failed is tried again
COPIED = 1 << 20  #: bytes that are copied at a time

_STDERR = 2  #: the descriptor


class AgentLog(Observer):
    """The log of one agent; the supervisor's `tick` keeps it small."""

    def __init__(self, layout: Layout) -> None:
        """Begin to write this program's log lines to it, beside stderr."""
        self._layout = layout
        self._look_at = 0.0
        self._appender = _Appender(str(layout.agent_log))
        log.write_to(self._appender, instead=self._appender.is_stderr())

    def tick(self, load: Load | None = None) -> None:
        """Rotate the log if it is large, and this process has the spool."""
        now = clock.monotonic()
        if load is None or now < self._look_at:
            return
        self._look_at = now + LOOK
        try:
            if os.lstat(self._layout.agent_log).st_size > MAX_BYTES:
                rotate(self._layout)
        except OSError as error:
            self._look_at = now + TRY_AGAIN
            self._appender.complain(error)


def rotate(layout: Layout) -> None:
    """Make `agent.log` empty, and what was in it `agent.log.1`; the oldest goes.

    Raises:
        OSError: it cannot be done; the log is as it was.
    """
    path = str(layout.agent_log)
    new, *old = (f"{path}.{suffix}" for suffix in OLD_LOGS)
    for one in old:
        _require_regular(one)
    source = _opened(path, os.O_RDWR)
    try:
        target = open_private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            done = _copy(source, target, 0)
            for newer, older in zip(old[-2::-1], old[:0:-1], strict=True):
                with suppress(FileNotFoundError):
                    os.replace(newer, older)
            os.replace(new, old[0])
            _copy(source, target, done)  # what was written meanwhile
            os.ftruncate(source, 0)
        finally:
            os.close(target)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
    finally:
        os.close(source)


def _copy(source: int, target: int, done: int) -> int:
    """Copy what is in `source` beyond `done` bytes; return how many it has."""
    while data := os.pread(source, COPIED, done):
        _write(target, data)
        done += len(data)
    return done


class _Appender(logging.Handler):
    """Writes lines to the end of a file, from any process, whatever becomes of the file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._pid = 0
        self._descriptor = -1
        self._identity = (0, 0)
        self._cut = False  #: whether the last line could be written in part only
        self._complained = False

    def is_stderr(self) -> bool:
        """Tell whether stderr is this file; if so, it is appended to from now on."""
        try:
            self._current()
            there = os.fstat(_STDERR)
        except OSError:
            return False
        if (there.st_dev, there.st_ino) != self._identity:
            return False
        _append(_STDERR)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  a bug in a call: said as `logging` says it
            self.handleError(record)
            return
        data = f"{line}\n".encode(errors="backslashreplace")
        try:
            _write(self._current(), b"\n" + data if self._cut else data)
            self._cut = self._complained = False
        except OSError as error:
            self._cut = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            self.complain(error)

    def complain(self, error: OSError) -> None:
        """Say once, on stderr, that the log cannot be kept."""
        if not self._complained:
            self._complained = True
            log.say_on_stderr(f"the log {self._path} cannot be kept: {error.strerror or error}")

    def _current(self) -> int:
        """Return a descriptor of the file that has the path now.

        A fork has closed what it inherited, and the number may be something else's by now.
        """
        if self._pid != os.getpid():
            self._pid, self._descriptor = os.getpid(), -1
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            there = None
        if self._descriptor < 0 or not there or self._identity != (there.st_dev, there.st_ino):
            self._open()
        return self._descriptor

    def _open(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = _opened(self._path, os.O_WRONLY | os.O_CREAT)
        opened = os.fstat(self._descriptor)
        self._identity = (opened.st_dev, opened.st_ino)


def _opened(path: str, flags: int) -> int:
    """Open a regular file to append to; neither follow nor wait for anything else."""
    descriptor = open_private(path, flags | os.O_APPEND | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_log(path)
    return descriptor


def _require_regular(path: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise _no_log(path)


def _no_log(path: str) -> OSError:
    return OSError(errno.EINVAL, f"{path} is no regular file")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _append(descriptor: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)
