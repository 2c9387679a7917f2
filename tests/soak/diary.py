"""Reads the ranks' diaries: what must be at the destination, and what may be."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.trainer import content


@dataclass
class Versions:
    """What was logged under one name, in order."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    promised: int = -1  #: index of the last one whose call returned

    @property
    def allowed(self) -> list[dict[str, Any]]:
        """The last promised version, and those after it, which may have been committed or not."""
        return self.entries[max(0, self.promised) :]


class Diary:
    """All that the ranks wrote down."""

    def __init__(self, folder: Path) -> None:
        """Read every diary in a folder; a line that was cut off by a kill is left out."""
        self.files: dict[str, Versions] = defaultdict(Versions)
        self.aliases: dict[str, Versions] = defaultdict(Versions)
        self.refused = 0  #: calls
        for path in sorted(folder.glob("*.diary")):
            for line in path.read_text().split("\n"):
                if line.endswith("}"):
                    self._read(json.loads(line))

    def _read(self, entry: dict[str, Any]) -> None:
        book, name = (
            (self.aliases, entry["alias"]) if "alias" in entry else (self.files, entry["name"])
        )
        versions = book[name]
        if entry["state"] == "begun":
            versions.entries.append(entry)
        elif entry["state"] == "refused":
            versions.entries.pop()
            self.refused += 1
        else:
            versions.promised = len(versions.entries) - 1

    @property
    def promises(self) -> int:
        """How many names are owed."""
        return sum(
            one.promised >= 0 for book in (self.files, self.aliases) for one in book.values()
        )

    def faults(self, arrived: dict[str, bytes | str]) -> list[str]:
        """Return in what the destination differs from what was promised.

        `arrived` has bytes of objects, and the target's name of what is a symlink.
        """
        found = [name for name in arrived if name not in self.files and name not in self.aliases]
        faults = [f"nobody logged {name}" for name in found]
        for name, versions in self.files.items():
            allowed = [_content(one) for one in versions.allowed]
            faults += _compare(name, arrived.get(name), allowed, versions)
        for name, versions in self.aliases.items():
            got = arrived.get(name)
            targets = [one["target"] for one in versions.allowed]
            if isinstance(got, str):
                faults += _compare(name, got, targets, versions)
                if got not in arrived:
                    faults.append(f"{name} points to {got}, which is not there")
            else:  # a copy
                copies = [_content(one) for to in targets for one in self.files[to].entries]
                faults += _compare(name, got, copies, versions)
        return faults


def _content(entry: dict[str, Any]) -> bytes:
    return content(entry["rank"], entry["number"], entry["size"])


def _compare(
    name: str, got: bytes | str | None, allowed: list[Any], versions: Versions
) -> list[str]:
    if got is None:
        return [f"{name} was promised and is not there"] if versions.promised >= 0 else []
    if got not in allowed:
        last = versions.allowed[:1] or "none, as every call was refused"
        return [f"{name} is not its last version: {got[:40]!r}; last: {last}"]
    return []
