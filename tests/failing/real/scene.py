"""Runs the real command and a real trainer under a cause of failure, and judges what came of it.

- What returned is owed: its bytes must arrive. What failed may arrive, but then whole.
- Every process must end in words: no traceback, no "internal error".
- Once the cause is gone a fresh drain exits with 0, and nothing is left over anywhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploader import Spool, agent_owner
from uploader.store.local_files import is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIME_LIMIT = 40  #: seconds that any one process may take on a busy machine
#: Seconds of CPU that no failing command may pass: start-up takes 0.3, an endless loop more.
NO_SPIN = 3.0
ROOT = Path(__file__).resolve().parents[3]
_COMMAND = (sys.executable, "-m", "uploader")
_TRAINER = (sys.executable, "-m", "tests.failing.real.trainer")

#: Of a user who owns no process, so that its processes can be counted; another one in each run.
NOBODY = 60_000 + os.getpid() % 5000
#: Not root, but able to read our checkout and Python, wherever these are.
AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
#: The same user, for whom modes hold as for anybody: root may otherwise do all.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    words: str  #: stderr
    said: str  #: stdout
    cpu: float  #: seconds, of all its processes

    def require(self, *codes: int, words: str = "") -> None:
        """Fail unless it ended with one of these codes, in words that match."""
        assert self.code in codes, f"exit code {self.code}: {self.words}"
        require_words(self.words)
        assert re.search(words, self.words), f"no {words!r} in: {self.words}"
        assert self.cpu < NO_SPIN, f"{self.cpu:.1f} s of CPU: {self.words}"


def require_words(text: str) -> None:
    """Fail if a process said what no person should have to read."""
    assert "Traceback" not in text, text
    assert "internal error" not in text, text
    assert "unforeseen" not in text, text


class Scene:
    """A spool, its destination, and what is owed there."""

    def __init__(
        self, folder: Path, *, spool: Path | None = None, remote: Path | None = None
    ) -> None:
        """Use `folder`, on a disk that does not fail; `spool` and `remote` may be on another."""
        self.folder = folder
        self.spool_path = spool or folder / "spool"
        self.remote = remote or folder / "remote"
        self.owed: dict[str, bytes] = {}
        self.tried: dict[str, set[bytes]] = {}
        self._trainers: list[Trainer] = []
        self._commands: list[subprocess.Popen[str]] = []
        self._sources = 0

    def make(self, **options: Any) -> None:
        """Make the spool; it keeps no room free, so that a disk can be filled up."""
        Spool(
            self.spool_path, self.remote.as_uri(), producer=False, min_free_bytes=0, options=options
        ).close()

    # -- processes ------------------------------------------------------------------------------

    def run(self, *arguments: object, prefix: Sequence[str] = (), **environment: str) -> Ended:
        """Run `uploader ...` on the spool to its end."""
        return self.finish(self.start(*arguments, prefix=prefix, **environment))

    def start(
        self, *arguments: object, prefix: Sequence[str] = (), **environment: str
    ) -> subprocess.Popen[str]:
        """Begin a command."""
        command, *rest = map(str, arguments)
        process = subprocess.Popen(
            [*prefix, *_COMMAND, command, "--spool", str(self.spool_path), *rest],
            cwd=self.folder,
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._commands.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a command."""
        before = _cpu_of_children()
        try:
            said, words = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"it did not end: {process.communicate()[1]}") from None
        return Ended(process.returncode, words, said, _cpu_of_children() - before)

    def put(self, name: str, content: bytes, *, prefix: Sequence[str] = ()) -> Ended:
        """Run `uploader put`; what it spools is owed."""
        ended = self.run("put", self.source(content), name, "--overwrite", prefix=prefix)
        self.note(name, content, returned=ended.code == 0)
        return ended

    def drain(self, *arguments: object, prefix: Sequence[str] = ()) -> Ended:
        """Run `uploader drain`, for not too long."""
        more = () if "--timeout" in arguments else ("--timeout", "20s")
        return self.run("drain", "--workers", 2, *arguments, *more, prefix=prefix)

    def trainer(self, *arguments: str, prefix: Sequence[str] = ()) -> Trainer:
        """Start a process that logs what it is told to."""
        trainer = Trainer(self, arguments, prefix)
        self._trainers.append(trainer)
        return trainer

    def agent(self, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start `uploader run`, and wait until it has the spool."""
        agent = self.start("run", "--workers", 2, prefix=prefix)
        self.wait_until(lambda: agent_owner(self.spool_path) or agent.poll() is not None)
        return agent

    def end(self) -> None:
        """End what the test left running, commands as well as trainers."""
        for trainer in self._trainers:
            trainer.end()
        for command in self._commands:
            if command.poll() is None:
                command.kill()
                command.communicate()

    def wait_until(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Wait for another process: look again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to be so in time"
            time.sleep(0.01)

    # -- what is owed -----------------------------------------------------------------------------

    def source(self, content: bytes) -> Path:
        """Write a file to be logged."""
        self._sources += 1
        path = self.folder / f"source-{self._sources}"
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def put_here(self, name: str, content: bytes) -> None:
        """Spool a file from this process, before anything fails."""
        with Spool(self.spool_path, producer=False) as spool:
            spool.put_file(name, self.source(content), overwrite=True)
        self.note(name, content, returned=True)

    def put_many(self, number: int, size: int) -> None:
        """Spool many files at once."""
        with Spool(self.spool_path, producer=False) as spool:
            for one in range(number):
                content = os.urandom(size)
                spool.put_file(f"many-{one}", self.source(content), overwrite=True)
                self.note(f"many-{one}", content, returned=True)

    def note(self, name: str, content: bytes, *, returned: bool) -> None:
        """Take down what was logged."""
        self.tried.setdefault(name, set()).add(content)
        if returned:
            self.owed[name] = content

    def settle(self, *, prefix: Sequence[str] = (), retry: bool = False) -> None:
        """The cause is gone: have a fresh drain upload all, and judge what is there.

        `retry`: what the cause made a dead letter of is put back first, as the words say.
        """
        if retry:
            self.run("retry", "--all", prefix=prefix)
        ended = self.drain(prefix=prefix)
        assert ended.code == 0, f"exit code {ended.code}: {ended.words}"
        assert self.faults() == []

    def faults(self) -> list[str]:
        """Return what broke a promise."""
        found = []
        objects = {
            str(path.relative_to(self.remote)): path
            for path in self.remote.rglob("*")
            if path.is_file()
        }
        for name, content in self.owed.items():
            if name not in objects:
                found.append(f"lost: {name}")
            elif objects[name].read_bytes() != content and (
                objects[name].read_bytes() not in self.tried[name]
            ):
                found.append(f"wrong: {name}")
        for name, path in objects.items():
            if is_temporary(path.name):
                found.append(f"left over at the destination: {name}")
            elif path.read_bytes() not in self.tried.get(name, ()):
                found.append(f"half: {name}")
        for room in ("staging", "blobs"):
            left = [path for path in (self.spool_path / room).rglob("*") if path.is_file()]
            found += [f"left over in {room}: {path.name}" for path in left]
        return found


class Trainer:
    """A process that lives on while things fail."""

    def __init__(self, scene: Scene, arguments: Sequence[str], prefix: Sequence[str]) -> None:
        """Start it; it says that it is ready."""
        self._scene = scene
        self.process = subprocess.Popen(
            [*prefix, *_TRAINER, str(scene.spool_path), scene.remote.as_uri(), *arguments],
            cwd=ROOT,
            env=_environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer()

    def log(self, name: str, content: bytes) -> dict[str, Any]:
        """Have it log a file; return `{}` if the call returned, else what it raised."""
        assert self.process.stdin
        order = {"name": name, "path": str(self._scene.source(content))}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        self._scene.note(name, content, returned=not answer)
        return answer

    def end(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe and not pipe.closed:
                pipe.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the trainer ended"
        return dict(json.loads(line))


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("UPLOADER_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
