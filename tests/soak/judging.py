"""Judges a soak when all faults are over: all that was promised, and nothing else?"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING

from tests.soak.diary import Diary
from uploader import Spool
from uploader.store.trial import is_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.destinations import Destination
    from tests.soak.outcome import Outcome
    from tests.soak.processes import Processes

DRAIN_LIMIT = "280s"
MARK = "Traceback (most recent call last)"
TRACEBACK = 4000  #: characters that are shown


class Judge:
    """Of one spool, when nothing breaks any more."""

    def __init__(self, processes: Processes, destination: Destination, outcome: Outcome) -> None:
        self._processes = processes
        self._destination = destination
        self._outcome = outcome

    def judge(self) -> None:
        """Let the ranks end, drain, and compare; what is wrong is among the outcome's faults."""
        self._processes.end_ranks()
        self._processes.wait_for_shells()
        self._must_succeed("drain", "--timeout", DRAIN_LIMIT)
        if left := self._processes.dismiss():
            self._found(f"processes left running: {left}")
        self._look_into_spool()
        self._look_into_logs()
        self._must_be_tidy(lambda name: not is_probe(name))
        # what a trial left that was killed is all that may be there for gc
        tidied = self._must_succeed("gc", "--older-than", "0s", "--json")
        self._outcome.tidied = len(json.loads(tidied)["removed"]) if tidied else 0
        self._compare()
        self._must_be_tidy(lambda _: True)
        self._must_succeed("verify")
        self._outcome.lapsing = self._destination.lapsing
        self._outcome.faults += self._destination.end()

    def _must_be_tidy(self, concerns: Callable[[str], bool]) -> None:
        left = filter(concerns, self._destination.unfinished())
        self._outcome.faults += [f"left over: {one}" for one in left]

    def _compare(self) -> None:
        diary = Diary(self._processes.directory)
        self._outcome.owed = diary.promises
        self._outcome.refused += diary.refused
        self._outcome.faults += diary.faults(self._destination.arrived())

    def _look_into_spool(self) -> None:
        path = self._processes.spool
        files = [one for one in (path / "blobs").rglob("*") if one.is_file()]
        files += (path / "staging").iterdir()
        self._outcome.faults += [f"left over: {one}" for one in files]
        with Spool(path, producer=False) as spool:
            status = spool.status()
        self._outcome.uploads = sum(status.counts.values())
        if status.pending or status.dead:
            self._found(f"not done: {status.as_json()['counts']}, {status.as_json()['dead']}")
        with contextlib.closing(sqlite3.connect(path / "spool.db")) as database:
            (said,) = database.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            self._found(f"the database is damaged: {said}")

    def _look_into_logs(self) -> None:
        """Nothing that went wrong was unforeseen: of what was, there is a traceback."""
        logs = [*self._processes.directory.glob("*.log"), self._processes.spool / "agent.log"]
        for log in logs:
            text = log.read_text(errors="replace") if log.exists() else ""
            self._outcome.faults += [
                f"unforeseen, in {log.name}: {one[:TRACEBACK]}" for one in text.split(MARK)[1:]
            ]

    def _must_succeed(self, *arguments: str) -> str:
        ended = self._processes.run(*arguments)
        if ended.returncode:
            said = (ended.stdout + ended.stderr)[-3000:]
            self._found(f"uploader {' '.join(arguments)}: {ended.returncode}: {said}")
        return "" if ended.returncode else ended.stdout

    def _found(self, what: str) -> None:
        self._outcome.faults.append(what)
