"""Compares what the trainer's diary promised with what is at the destination.

Nothing here asks the product: files are read, links followed, folders listed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from destination.demo.diary import Diary, digest
from destination.demo.workspace import RUN_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from destination.demo.workspace import Workspace


@dataclass(frozen=True)
class Arrival:
    """One artifact whose log call returned, and what became of it."""

    name: str
    logged: int  #: calls that returned
    link: bool
    size: int  #: bytes at the destination; 0 for a link
    fault: str | None  #: None: it is there, as it should be


@dataclass(frozen=True)
class Verdict:
    """What arrived, and everything that is not as it should be."""

    arrivals: list[Arrival]
    faults: list[str]

    @property
    def good(self) -> bool:
        """Whether everything arrived, and nothing else."""
        return not self.faults


def judge(workspace: Workspace) -> Verdict:
    """Return the verdict on a workspace whose spool was drained."""
    diary = Diary(workspace.diary)
    returned = [entry["name"] for entry in diary.read("returned")]
    arrivals = [
        _arrival(workspace, name, returned.count(name), contents)
        for name, contents in diary.promised().items()
    ]
    faults = [f"{arrival.name} {arrival.fault}" for arrival in arrivals if arrival.fault]
    faults += [f"{name} was never logged" for name in _strangers(workspace, diary.names())]
    faults += [f"{path} was left in the spool" for path in _orphans(workspace.spool)]
    return Verdict(arrivals, faults)


def _arrival(workspace: Workspace, name: str, logged: int, contents: set[str]) -> Arrival:
    path = workspace.arrived(name)
    link = path.is_symlink()
    size = path.stat().st_size if path.is_file() and not link else 0
    return Arrival(name, logged, link, size, _fault(workspace, path, contents))


def _fault(workspace: Workspace, path: Path, contents: set[str]) -> str | None:
    if not path.exists():
        return "points to nothing" if path.is_symlink() else "is missing"
    actual = f"-> {_target(workspace, path)}" if path.is_symlink() else digest(path)
    return None if actual in contents else f"is not what was logged: {actual}"


def _target(workspace: Workspace, link: Path) -> str:
    target = os.path.normpath(link.parent / os.readlink(link))
    return os.path.relpath(target, workspace.arrived(""))


def _strangers(workspace: Workspace, names: set[str]) -> Iterator[str]:
    known = {os.path.join(RUN_NAME, name) for name in names}
    for path in _files(workspace.destination):
        name = os.path.relpath(path, workspace.destination)
        if name not in known:
            yield name


def _orphans(spool: Path) -> Iterator[str]:
    for folder in ("blobs", "staging"):
        yield from (os.path.relpath(path, spool) for path in _files(spool / folder))


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)
