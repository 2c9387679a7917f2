"""Fork worker processes from a process that has loaded what they need, and holds nothing else.

It is a fork of the supervisor, made before there is work: no second interpreter starts, what the
supervisor has loaded is shared, and what only workers need is loaded beside its recovery.
(`multiprocessing`'s own fork server is a new interpreter, and a second one tracks its resources.)

- A supervisor runs in a process of our own command line, which has no threads; `spool/journal.py`
  closes the database before a fork. Nothing is ever forked from a training process.
- It closes whatever else it inherits: no worker gets another one's pipe, and a worker gets the lock
  with the order to start. So a kill of the fork server costs nothing; the next order makes another.
- What it loads may come from a slow disk: it says when it is ready, so that nobody stands waiting.
- It ends when the supervisor does, which ends its socket. Workers watch pipes of their own.
- A worker that ended is reaped when the supervisor asks how: until then nobody else has its pid.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import struct
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, NoReturn

from uploader.drain.worker import work
from uploader.errors import UploaderError

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 5  #: fork servers that may end, one after another, before they have done what is asked

_NUMBER = struct.Struct("=q")  #: an order, and its answer
_START = 0  #: order: start a worker; any other number is the pid of one, and asks how it ended
_READY = 0  #: the first message; there is nothing else that it could be
_UNKNOWN = 1 << 16  #: answer: not a child of this fork server; no exit code is so large
_MAX_DESCRIPTORS = 3


class ForkServer:
    """The process that workers are forked from."""

    def __init__(self, preload: str) -> None:
        """Prepare; `preload` is the module that only workers need."""
        self.preload = preload
        self._pid = 0
        self._orders: socket.socket | None = None
        self._is_ready = False

    @property
    def running(self) -> bool:
        """Whether there is such a process, as far as is known."""
        return self._orders is not None

    @property
    def is_ready(self) -> bool:
        """Whether it has loaded what workers need; or has ended, which `start` makes good."""
        if self._orders is not None and not self._is_ready:
            with suppress(BlockingIOError):
                self._await_ready(self._orders, socket.MSG_DONTWAIT)
        return self._is_ready

    @property
    def awaited(self) -> list[socket.socket]:
        """Return what to wait for until it is ready."""
        return [] if self._orders is None or self._is_ready else [self._orders]

    def begin(self) -> None:
        """Make the process, if there is none; it gets ready by itself."""
        if self._orders is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if not self._pid:
            _end_after(_serve, theirs, self.preload)
        theirs.close()
        self._orders, self._is_ready = ours, False

    def start(self, *descriptors: int) -> tuple[int, Connection]:
        """Start a worker that holds these descriptors; return its pid, and our end of its pipe.

        It waits until the process is ready.

        Raises:
            OSError: the system lets no more processes be.
            UploaderError: it cannot be done; the reason was written to stderr.
        """
        for _ in range(TRIES):
            self.begin()
            ours, theirs = Pipe()  # a new one each time: an order may be carried out unanswered
            pid = self._ask(_START, (theirs.fileno(), *descriptors))
            theirs.close()
            if pid is not None and pid > 0:
                return pid, ours
            ours.close()
            if pid is not None:
                raise OSError(-pid, f"no worker process can be started: {os.strerror(-pid)}")
            self.stop()
        msg = f"no worker process can be started: {TRIES} attempts failed; see the messages above"
        raise UploaderError(msg)

    def ended(self, pid: int) -> int | None:
        """Wait for a worker that is ending; return its exit code. None: nobody knows it."""
        code = None if self._orders is None else self._ask(pid)
        return None if code == _UNKNOWN else code

    def stop(self) -> None:
        """End the process; it holds nothing that would need care. Workers go on."""
        if self._orders is None:
            return
        self._orders.close()
        self._orders, self._is_ready = None, False
        with suppress(ProcessLookupError, ChildProcessError):  # whoever started us ignores SIGCHLD
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _ask(self, order: int, descriptors: tuple[int, ...] = ()) -> int | None:
        """Return the answer to an order; None if the process ended before it gave one."""
        assert self._orders is not None  # noqa: S101  for the type: callers have looked
        try:
            if not self._is_ready:
                self._await_ready(self._orders)
            socket.send_fds(self._orders, [_NUMBER.pack(order)], descriptors)
            answer = self._orders.recv(_NUMBER.size)
        except (BrokenPipeError, ConnectionResetError):
            return None
        return int(_NUMBER.unpack(answer)[0]) if answer else None

    def _await_ready(self, orders: socket.socket, flags: int = 0) -> None:
        """Take its first message, or note that it has ended."""
        with suppress(ConnectionResetError):
            orders.recv(_NUMBER.size, flags)
        self._is_ready = True


def _serve(orders: socket.socket, preload: str) -> None:
    """Carry out orders until the supervisor is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the exit codes
    gc.freeze()
    _close_all_but(orders.fileno())
    with suppress(Exception):  # a worker meets it again, and answers with it
        import_module(preload)
    gc.freeze()  # what is never looked through is never written to, and stays shared
    with suppress(ConnectionError):  # it was killed with an answer of ours unread
        orders.send(_NUMBER.pack(_READY))
        while True:
            order, descriptors, _, _ = socket.recv_fds(orders, _NUMBER.size, _MAX_DESCRIPTORS)
            if not order:
                return
            number = _NUMBER.unpack(order)[0]
            answer = _started(orders, descriptors) if number == _START else _reaped(number)
            orders.send(_NUMBER.pack(answer))


def _started(orders: socket.socket, descriptors: list[int]) -> int:
    try:
        pid = os.fork()
    except OSError as error:  # a limit on processes, or no memory
        pid = -(error.errno or errno.EAGAIN)
    if not pid:
        orders.close()
        pipe, _, *memory = descriptors  # the second is the lock: it is held by being open
        _end_after(work, Connection(pipe), memory[0] if memory else None)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _reaped(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # of a fork server before this one
        return _UNKNOWN


def _end_after(function: Callable[..., None], *arguments: Any) -> NoReturn:
    """Call it, in a process that has just been forked, and end there: nothing is unwound."""
    code = 1
    try:
        function(*arguments)
        code = 0
    except BaseException:  # noqa: BLE001  it goes no further than here
        traceback.print_exc()
    finally:
        os._exit(code)


def _close_all_but(kept: int) -> None:
    """Close every descriptor but `kept` and those of stdin, stdout and stderr.

    Objects that think they own one of these are never used again, nor collected (`gc.freeze`).
    """
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != kept:  # noqa: PLR2004  stderr is the last of the three
            with suppress(OSError):
                os.close(descriptor)
