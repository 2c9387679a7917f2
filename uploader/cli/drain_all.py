"""Drain every spool below a directory: for each one `uploader drain` in a process of its own.

- One process a spool: a store that hangs, or a damaged spool, holds up none of the others.
- A few spools at a time; all have the same deadline, and one whose turn comes after it still says
  what remains in it.
- A signal is handed on to each of them once. They are in sessions of their own, or Ctrl-C at a
  terminal would reach them twice, which means: at once.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from uploader.cli import render
from uploader.cli.every_spool import every_spool, gravest
from uploader.cli.exit_codes import ExitCode
from uploader.drain.agent import environment
from uploader.drain.shutdown import StopRequest
from uploader.observe.log import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uploader.drain.terms import Deadline

AT_ONCE = 4  #: spools that are drained at the same time, each with its own workers
LOOK = 0.1  #: seconds until a signal is handed on, at the latest
CHUNK = 1 << 16  #: bytes that are read from a pipe at once; what a pipe holds


@dataclass(frozen=True)
class How:
    """What was asked for; it holds for each spool."""

    flags: tuple[str, ...]
    options: dict[str, Any]  #: destination options, by name
    deadline: Deadline
    lines_as_they_are: bool  #: they are JSON: nothing is put before them

    def command(self, spool: Path) -> list[str]:
        """Return the command that drains one spool."""
        command = [sys.executable, "-m", "uploader", "drain", "--json", "--spool", str(spool)]
        command += self.flags
        if self.deadline.is_set:
            command += ["--timeout", f"{self.deadline.left:.3f}s"]
        return command

    def environment(self) -> dict[str, str]:
        """Return its environment; options are variables there: one that does not fit is left out.

        So one flag may be meant for the buckets among several destinations.
        """
        given = {key: value for key, value in self.options.items() if value is not None}
        return {**environment(), **{f"UPLOADER_{key.upper()}": str(given[key]) for key in given}}


@dataclass
class _Drain:
    """The drain of one spool."""

    spool: Path
    process: subprocess.Popen[bytes]
    said: bytes = b""  #: on stdout: its report
    unfinished: bytes = b""  #: the line on stderr that it is writing
    last_line: str = ""
    open_pipes: int = 2

    def take(self, data: bytes, *, report: bool) -> Iterator[str]:
        """Take what it wrote; yield the lines for people that are complete by it."""
        if report:
            self.said += data
            return
        *lines, self.unfinished = (self.unfinished + data).split(b"\n")
        for line in lines:
            if line:
                self.last_line = line.decode(errors="backslashreplace")
                yield self.last_line


@dataclass
class _Ended:
    """How it ended."""

    spool: Path
    code: int
    report: dict[str, Any]

    @property
    def line(self) -> str:
        """Say it in a line."""
        if "error" in self.report:
            return f"{self.code:>4}  {self.spool}: {self.report['error']}"
        counts = self.report["status"]["counts"]
        left = counts["ready"] + counts["active"]
        said = f"{render.count_text(left, 'upload')} to go" if left else "nothing to go"
        dead = f", {render.count_text(counts['dead'], 'dead letter')}" if counts["dead"] else ""
        return f"{self.code:>4}  {self.spool}: {said}{dead}"


@dataclass
class _Node:
    """All drains of this machine, in one loop; no thread, no wait for any single one."""

    how: How
    waiting: deque[Path]
    stop: StopRequest = field(default_factory=StopRequest)
    running: list[_Drain] = field(default_factory=list)
    ended: list[_Ended] = field(default_factory=list)
    handed_on: int = 0  #: signals

    def run(self) -> list[_Ended]:
        """Drain them; return how each ended, by path."""
        with closing(selectors.DefaultSelector()) as pipes:
            while self.waiting or self.running:
                self._start(pipes)
                for key, _ in pipes.select(LOOK):
                    self._read(pipes, key)
                self._hand_signals_on()
        return sorted(self.ended, key=lambda one: one.spool)

    def _start(self, pipes: selectors.BaseSelector) -> None:
        while self.waiting and self.stop.requested:
            spool = self.waiting.popleft()
            self._end(spool, ExitCode.INTERRUPTED, "interrupted before its turn")
        while self.waiting and len(self.running) < AT_ONCE:
            spool = self.waiting.popleft()
            process = subprocess.Popen(
                self.how.command(spool),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=self.how.environment(),
            )
            drain = _Drain(spool, process)
            self.running.append(drain)
            for pipe in (process.stdout, process.stderr):
                assert pipe  # noqa: S101  it was asked for
                pipes.register(pipe, selectors.EVENT_READ, drain)

    def _read(self, pipes: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        drain: _Drain = key.data
        data = os.read(key.fd, CHUNK)
        for line in drain.take(data or b"\n", report=key.fileobj is drain.process.stdout):
            before = "" if self.how.lines_as_they_are else f"{drain.spool}: "
            sys.stderr.write(render.printable(f"{before}{line}\n"))
        if data:
            return
        pipes.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr]  # a file, as it was registered
        drain.open_pipes -= 1
        if not drain.open_pipes:
            self.running.remove(drain)
            code, last_line = drain.process.wait(), drain.last_line
            if code == -signal.SIGTERM and self.handed_on:  # before it took signals: nothing begun
                code, last_line = int(ExitCode.INTERRUPTED), "interrupted before it began"
            self._end(drain.spool, code, last_line, drain.said)

    def _end(self, spool: Path, code: int, last_line: str, said: bytes = b"") -> None:
        try:
            report = json.loads(said)
        except ValueError:  # it could not begin, or was killed
            report = {"exit_code": code, "error": last_line, "status": {"spool": str(spool)}}
        self.ended.append(_Ended(spool, code, report))

    def _hand_signals_on(self) -> None:
        while self.handed_on < self.stop.signals:
            self.handed_on += 1
            for drain in self.running:
                drain.process.terminate()


def drain_all(directory: str | None, how: How, *, as_json: bool) -> ExitCode:
    """Drain every spool below a directory; return the gravest of their exit codes."""
    found = every_spool(directory)
    node = _Node(how, deque(found.spools))
    node.stop.install()
    ended = node.run()
    for one in ended:
        if as_json:
            click.echo(json.dumps(one.report))
        say(render.printable(one.line))
    for reason in found.unreadable:
        say(render.printable(f"uploader: cannot be looked into for spools: {reason}"))
    if not ended:
        say(render.printable(f"no spools below {found.directory}"))
    return gravest([one.code for one in ended] + [ExitCode.SPOOL] * len(found.unreadable))
