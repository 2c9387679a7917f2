"""Run the real command line in a folder of its own, as a person or a launcher would."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from uploader import Spool, agent_owner
from uploader.cli.main import run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIME_LIMIT = 40  #: seconds that one command may take on a busy machine


class Shell:
    """A folder with a spool, its destination, and commands run there."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.spool_path = folder / "spool"
        self.remote = folder / "remote"
        self.running: list[subprocess.Popen[str]] = []
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("UPLOADER_")
            and key not in ("RANK", "RUN_NAME", "COLUMNS", "LINES")
        }

    @property
    def url(self) -> str:
        """The destination."""
        return self.remote.as_uri()

    def spool(self, **options: Any) -> Spool:
        """Open the spool in this process; it is made if it is not there."""
        return Spool(self.spool_path, self.url, producer=False, **options)

    def file(self, content: bytes | str = "content", name: str = "source") -> pathlib.Path:
        """Write a file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def put(self, name: str, content: bytes | str = "content", *, overwrite: bool = False) -> str:
        """Spool a file, quickly: not by a command."""
        with self.spool() as spool:
            return spool.put_file(name, self.file(content), overwrite=overwrite)

    def link(self, existing: str, name: str, *, overwrite: bool = False) -> str:
        """Spool a symlink, quickly."""
        with self.spool() as spool:
            return spool.put_symlink(existing, name, overwrite=overwrite)

    def state(self, upload_id: str) -> str:
        """Return the state that an upload is in now."""
        with self.spool() as spool:
            return spool.upload(upload_id).state.value

    def run(
        self,
        command: str,
        *arguments: object,
        spool: bool = True,
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run `uploader COMMAND` to its end, on our spool unless told not to."""
        return subprocess.run(
            [*prefix, *self._words(command, arguments, spool)],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )

    def start(
        self,
        command: str,
        *arguments: object,
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Begin a command; the fixture ends it if the test does not."""
        process = subprocess.Popen(
            [*prefix, *self._words(command, arguments, True)],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def start_supervisor(
        self, command: str, *arguments: object, **environment: str
    ) -> subprocess.Popen[str]:
        """Begin `run` or `drain`, and wait until it has the spool."""
        process = self.start(command, *arguments, **environment)
        self.wait_until(lambda: agent_owner(self.spool_path))
        return process

    def json(self, command: str, *arguments: object) -> Any:
        """Run a command with `--json` and return what it says; it must say nothing else."""
        return json.loads(self.run(command, "--json", *arguments).stdout)

    def make_dead(self, name: str, content: str = "content") -> str:
        """Spool a file whose name is taken at the destination, and let it be tried."""
        self.occupy(name)
        upload_id = self.put(name, content)
        assert self.run("drain", "--workers", 1).returncode == 3
        return upload_id

    def occupy(self, name: str) -> pathlib.Path:
        """Have somebody else's object under a name, which is never replaced without overwrite."""
        return self.file("somebody else's", f"remote/{name}")

    def wait_until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Wait for another process: look again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to be so in time"
            time.sleep(0.01)

    def send(self, process: subprocess.Popen[str], number: signal.Signals) -> None:
        """Send a signal, and return once it has been taken.

        Until then another one of its number would be one with it, and what the process does next it
        might do as if there were none.
        """
        process.send_signal(number)
        self.wait_until(lambda: not _waits(process.pid, number))

    @contextmanager
    def in_process(self) -> Iterator[Callable[[Sequence[str]], int]]:
        """Yield what runs a command in this process, for a test that looks behind the curtain."""
        logger = logging.getLogger("uploader")
        before = logger.handlers[:], logger.propagate, logger.level
        try:
            yield run_command
        finally:
            logger.handlers[:], logger.propagate, logger.level = before

    def end(self) -> None:
        """End what the test left running."""
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()

    def _words(self, command: str, arguments: Sequence[object], spool: bool) -> list[str]:
        where = ["--spool", str(self.spool_path)] if spool else []
        words = [sys.executable, "-m", "uploader", command, *where]
        return [word for word in words if word] + [str(argument) for argument in arguments]


def _waits(pid: int, number: signal.Signals) -> bool:
    """Tell whether a signal has yet to be taken by a process (proc(5): pending)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    pending = (line.split()[1] for line in status.splitlines() if line[:6] in ("SigPnd", "ShdPnd"))
    return any(int(mask, 16) >> (number - 1) & 1 for mask in pending)
