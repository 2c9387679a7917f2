"""Start a server for tests, wait until it answers, end it; its death follows ours.

- Ended by SIGKILL, and by the handle of the process that was started, never by a name.
- `PR_SET_PDEATHSIG` ends it also when the test process is killed itself. The kernel sends it when
  the *thread* that started the process ends (prctl(2)), so start servers from the main thread.
- It is set by a short program that then becomes the server, not by `preexec_fn`: that one warns,
  and may hang, in a process with threads, and a test process has the proxy's.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Started = TypeVar("Started")

#: Seconds. SeaweedFS needs 3.5 on an idle machine, and ten times that beside a dozen others.
START_LIMIT = 90.0

#: Seconds that one may take to end when it is asked to.
END_LIMIT = 40.0

#: Seconds between two questions to a server that starts.
POLL_INTERVAL = 0.05

#: Between choosing a port and binding it another process may take it; thrice running is a fault.
START_TRIES = 3

#: Nothing that goes out has one of these for its own (`ip_local_port_range`, from 32,768 on).
_OWN_PORTS = range(12_000, 32_000)

#: Sets the signal, sees that the parent was not gone before, becomes the server.
_LEASH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class PortTakenError(Exception):
    """Another process took a port between its choice and its use."""


class LeashedProcess:
    """A server's process, its output in `<folder>/log`."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._arguments = arguments
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *arguments],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """The server's own pid: the leash became it."""
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Ask until it answers.

        Raises:
            PortTakenError: it did not start because a port was in use.
            AssertionError: it ended, or did not answer in `START_LIMIT`; with its log.
        """
        deadline = time.monotonic() + START_LIMIT
        with off_the_clock():
            while not answers():
                if self._ended_within(POLL_INTERVAL):
                    self._fail(f"ended with {self._process.returncode}")
                if time.monotonic() > deadline:
                    self._fail(f"did not answer in {START_LIMIT:.0f} s")

    def kill(self) -> None:
        """End it now; no error if it has ended."""
        self._process.kill()
        self._process.wait()

    def end(self) -> str:
        """Ask it to end (SIGTERM); return what it said if it ended with an error, else ""."""
        self._process.terminate()
        try:
            code = self._process.wait(END_LIMIT)
        finally:
            self.kill()
        return self._log.read_text(errors="replace") if code else ""

    def _ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def _fail(self, what: str) -> None:
        log = self._log.read_text(errors="replace")
        if "already in use" in log:
            raise PortTakenError(log)
        name = Path(self._arguments[0]).name
        raise AssertionError(f"{name} {what}; its log ends:\n{log[-4000:]}")


@contextlib.contextmanager
def off_the_clock() -> Iterator[None]:
    """Stop the test's time limit meanwhile: what is waited for here has a limit of its own.

    A server that many tests share is started within whichever asks first, whose limit is not made
    for both. (The limit is an interval timer, pyproject.toml: `timeout_method`.)
    """
    left, again = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left, again)


def start_again_if_taken(start: Callable[[], Started]) -> Started:
    """Start a server on ports chosen anew each time, until they are really free.

    Raises:
        PortTakenError: `START_TRIES` times running.
    """
    for _ in range(START_TRIES - 1):
        with contextlib.suppress(PortTakenError):
            return start()
    return start()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1, all different, free a moment ago.

    They are below those that the system gives to connections that go out: else a client that calls
    again and again while the server is down would, by chance, take its port, and keep it.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            one, port = held.enter_context(socket.socket()), random.choice(_OWN_PORTS)
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


@contextlib.contextmanager
def nobody_listens() -> Iterator[str]:
    """Yield an endpoint that refuses connections.

    Its port is held meanwhile: let go, it would soon be that of another test's server.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def program(name: str) -> str:
    """Return the path of a program that a package of this environment installed."""
    return str(Path(sys.executable).parent / name)
