"""Recovers and drains a spool as a supervisor does, and holds what comes of it to the promises.

An artifact is an obligation once its call had returned before the power was lost; one whose call
had begun may have been taken in, or not.

1. durable: each obligation arrives.  2. snapshot, 7. integrity: byte by byte as it was at the call.
3. order: of each name a version that no later obligation has replaced.  8. nothing silent: every
upload ends, dead letters have their reason and their bytes, and nothing is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from os.path import basename, dirname, relpath
from pathlib import Path
from typing import Any

from tests.power.in_process import no_waiting
from tests.power.scenarios import PART, content, url_of
from tests.power.world import World
from uploader import NotASpoolError, Spool
from uploader.drain.shutdown import StopRequest
from uploader.drain.supervisor import Supervisor
from uploader.drain.terms import Ending, Settings
from uploader.spool.ownership import SupervisorLock
from uploader.state import LIVE, State

LATER = 3600.0  #: seconds until the machine is up again: every wait for a retry is over


@dataclass
class Version:
    """One call: what it logged, and whether it returned."""

    number: int
    begun: int  #: its place among the marks
    bytes_or_target: bytes | str
    returned: int | None = None
    upload_id: str | None = None


class Owed:
    """What the marks before a power loss say."""

    def __init__(self, marks: Sequence[dict[str, Any]]) -> None:
        """Read them."""
        self.made = False  #: whether a spool had been opened
        self.forgets = False  #: whether rows of what arrived are forgotten
        self.names: dict[str, list[Version]] = {}
        by_number: dict[int, Version] = {}
        for at, fact in enumerate(marks):
            self.made |= "made" in fact
            self.forgets |= "forgets" in fact
            if "begun" in fact:
                one = by_number[fact["begun"]] = Version(fact["begun"], at, _what(fact))
                self.names.setdefault(fact["name"], []).append(one)
            elif "returned" in fact:
                by_number[fact["returned"]].returned = at
                by_number[fact["returned"]].upload_id = fact["id"]
        self.versions = list(by_number.values())

    def allowed(self, name: str) -> list[bytes | str]:
        """Return what may be at the destination under a name in the end."""
        versions = self.names.get(name, [])
        begins = [one.begun for one in versions if one.returned is not None]
        return [
            one.bytes_or_target
            for one in versions
            if one.returned is None or not any(begun > one.returned for begun in begins)
        ]

    def required(self) -> list[str]:
        """Return the names that must be there."""
        return [
            name
            for name, versions in self.names.items()
            if any(one.returned is not None for one in versions)
        ]


def _what(fact: dict[str, Any]) -> bytes | str:
    if "target" in fact:
        return relpath(fact["target"], dirname(fact["name"]) or ".")
    return content(fact["begun"], fact["size"])


def faults(world: World, owed: Owed) -> list[str]:
    """Recover and drain the spool that lies in `world`; return what broke a promise."""
    try:
        with closing(_opened(world, owed)) as spool:
            found = _drained(spool)
            found += _dead_letters(spool, owed)
            if spool.retry(all=True):
                found += _drained(spool)
            found += _rows(spool, owed)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what became of the spool
        return [f"{type(error).__name__}: {error}"]
    return found + _arrivals(world, owed) + [f"left over: {path}" for path in world.blobs()]


def _opened(world: World, owed: Owed) -> Spool:
    """Open it as a supervisor does; if it was not yet a spool, as the next trainer makes it."""
    try:
        return Spool(world.spool, producer=False)
    except NotASpoolError:
        if owed.made:
            raise
    return Spool(world.spool, url_of(world.base), options={"part_size": PART}, producer=False)


def _drained(spool: Spool) -> list[str]:
    with no_waiting(LATER):
        lock = SupervisorLock(spool.layout)
        try:
            assert lock.try_acquire(1)
            ending = Supervisor(spool, lock, Settings(workers=2), StopRequest()).run()
        finally:
            lock.release()
    return [] if ending is Ending.EMPTY else [f"the drain ended as {ending}"]


def _dead_letters(spool: Spool, owed: Owed) -> list[str]:
    """Return which dead letters have no reason, or not their bytes."""
    found = []
    contents = {one.upload_id: one.bytes_or_target for one in owed.versions}
    for one in spool.dead_letters():
        if "refused" not in str(one.error):
            found.append(f"{one.name} is dead: {one.error}")
        expected = contents.get(one.id)
        if isinstance(expected, bytes) and expected != _blob(spool, one.id):
            found.append(f"the dead letter {one.name} has lost its bytes")
    return found


def _blob(spool: Spool, upload_id: str) -> bytes | None:
    path: Path = spool.layout.blob(upload_id)
    return path.read_bytes() if path.exists() else None


def _rows(spool: Spool, owed: Owed) -> list[str]:
    """Return what the ledger lacks, or what has not ended in it."""
    uploads = {one.id: one for one in spool.uploads()}
    unended = (*LIVE, State.DEAD)
    found = [f"{one.name} is still {one.state}" for one in uploads.values() if one.state in unended]
    found += [
        f"the ledger does not know upload number {one.number}"
        for one in owed.versions
        if one.returned is not None and one.upload_id not in uploads and not owed.forgets
    ]
    checked = spool._journal.rows("PRAGMA integrity_check")
    return found + [f"SQLite says: {row[0]}" for row in checked if row[0] != "ok"]


def _arrivals(world: World, owed: Owed) -> list[str]:
    arrived = world.arrived()
    found = [f"{name} did not arrive" for name in owed.required() if name not in arrived]
    for name, got in arrived.items():
        if got not in owed.allowed(name):
            found.append(f"{name} holds {got[:20]!r}, which is wrong")
        if isinstance(got, str) and got not in arrived:
            found.append(f"{basename(name)} points to {got}, which is not there")
    return found
