"""Sets a spool, its destination and a source up below one directory, again and again, quickly."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import ExitStack, closing
from pathlib import Path

from tests.power.in_process import no_waiting
from uploader import Spool
from uploader.drain.shutdown import StopRequest
from uploader.drain.supervisor import Supervisor
from uploader.drain.terms import Deadline, Ending, Settings
from uploader.spool.ownership import SupervisorLock
from uploader.state import LIVE, State

PART = 1 << 20  #: bytes
LATER = 3600.0  #: seconds until the cause is gone: every wait for a retry is over


def content(number: int, size: int = 9000) -> bytes:
    """Return what artifact `number` holds."""
    return f"{number:06d} ".encode() + random.Random(number).randbytes(size)


class Stage:
    """A base directory, with what was put into it, and must or may come of that."""

    def __init__(self, folder: Path) -> None:
        """Work below `folder`; a spool that has uploaded before is the template of all."""
        self.base, self._template = folder / "base", folder / "template"
        self.spool, self.there = self.base / "spool", self.base / "there"
        self.source = self.base / "source"
        self._is_whole = False
        self._number = 0
        self.must: dict[str, bytes | str] = {}  #: by name: what has to arrive
        self.may: dict[str, list[bytes | str]] = {}  #: what may be there instead, or besides
        self.base.mkdir(parents=True)
        self.there.mkdir()
        with closing(self.opened()) as spool:
            spool.put_file("before", self.holding(b"before"))
        assert self.drained() is Ending.EMPTY
        shutil.copytree(self.base, self._template)

    def lay(self) -> None:
        """Begin anew."""
        self.must, self.may, self._number = {"before": b"before"}, {}, 0
        if not self._is_whole:
            shutil.rmtree(self.base)
            shutil.copytree(self._template, self.base)
        for name in ("spool.db-wal", "spool.db-shm"):
            (self.spool / name).unlink(missing_ok=True)
        shutil.copy(self._template / "spool/spool.db", self.spool / "spool.db")
        shutil.rmtree(self.there)
        shutil.copytree(self._template / "there", self.there)
        self._is_whole = False

    def found_whole(self) -> None:
        """Nothing is left over in the spool, so that its directories can be used again."""
        self._is_whole = True

    def opened(self, *, producer: bool = True) -> Spool:
        """Open the spool, as a trainer or as a supervisor does."""
        options = {"part_size": PART}
        return Spool(self.spool, f"file://{self.there}", options=options, producer=producer)

    def holding(self, data: bytes) -> Path:
        """Return the source, which holds this now."""
        self.source.write_bytes(data)
        return self.source

    def next(self, size: int = 9000) -> bytes:
        """Return the content of one more artifact."""
        self._number += 1
        return content(self._number, size)

    def owes(self, name: str, what: bytes | str) -> None:
        """Take it as an obligation, in place of an older one: its call has returned."""
        self.must[name] = what

    def may_hold(self, name: str, what: bytes | str) -> None:
        """Its call has raised: it may have been taken in, or not."""
        self.may.setdefault(name, []).append(what)

    # -- what is judged -------------------------------------------------------------------------

    def drained(self, deadline: float | None = None) -> Ending:
        """Empty the spool as another process would, without waiting."""
        with ExitStack() as stack:
            spool = stack.enter_context(closing(self.opened(producer=False)))
            lock = SupervisorLock(spool.layout)
            stack.callback(lock.release)
            assert lock.try_acquire(1), "somebody still holds the supervisor's lock"
            stack.enter_context(no_waiting(LATER))
            return Supervisor(
                spool, lock, Settings(workers=2, deadline=Deadline(deadline)), StopRequest()
            ).run()

    def wrong(self) -> list[str]:
        """Return what is wrong with the spool and the destination, all having been drained."""
        with closing(self.opened(producer=False)) as spool:
            unended = (*LIVE, State.DEAD)
            found = [
                f"{one.name} is {one.state}: {one.error}"
                for one in spool.uploads()
                if one.state in unended
            ]
            checked = spool._journal.rows("PRAGMA integrity_check")
            found += [f"SQLite says: {row[0]}" for row in checked if row[0] != "ok"]
        return found + self._arrivals() + [f"left over: {path}" for path in self.left_over()]

    def arrived(self) -> dict[str, bytes | str]:
        """Return what is at the destination."""
        return {
            os.path.relpath(path, self.there): (
                os.readlink(path) if path.is_symlink() else path.read_bytes()
            )
            for path in self.there.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def left_over(self) -> list[str]:
        """Return the files in `blobs/` and `staging/`, and those that are unfinished."""
        return [
            *(str(path) for path in self.spool.glob("staging/*")),
            *(str(path) for path in self.spool.glob("blobs/*/*")),
            *(str(path) for path in self.there.rglob(".uploader-*")),
        ]

    def _arrivals(self) -> list[str]:
        arrived = self.arrived()
        found = [f"{name} did not arrive" for name in self.must if name not in arrived]
        for name, got in arrived.items():
            if got != self.must.get(name) and got not in self.may.get(name, []):
                found.append(f"{name} holds {got[:12]!r}… ({len(got)}), which is wrong")
        return found


def descriptors() -> set[tuple[str, str]]:
    """Return what this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue
    return found
