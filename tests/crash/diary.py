"""Reads the ranks' diaries: what must be at the destination, and what may be."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.trainer import content


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
        for path in sorted(folder.glob("*.diary")):
            for line in path.read_text().split("\n"):
                if line.endswith("}"):
                    self._read(json.loads(line))

    def _read(self, entry: dict[str, Any]) -> None:
        book, name = (
            (self.aliases, entry["alias"]) if "alias" in entry else (self.files, entry["name"])
        )
        versions = book[name]
        if not entry["done"]:
            versions.entries.append(entry)
        else:
            versions.promised = len(versions.entries) - 1

    @property
    def promises(self) -> int:
        """How many names are owed."""
        return sum(
            one.promised >= 0 for book in (self.files, self.aliases) for one in book.values()
        )

    def faults(self, arrived: dict[str, bytes | str]) -> list[str]:
        """Return in what the destination differs from what was promised."""
        found = [name for name in arrived if name not in self.files and name not in self.aliases]
        faults = [f"nobody logged {name}" for name in found]
        for name, versions in self.files.items():
            allowed = [content(one["rank"], one["number"], one["size"]) for one in versions.allowed]
            faults += _compare(name, arrived.get(name), allowed, versions)
        for name, versions in self.aliases.items():
            allowed_texts = ["../" + one["target"] for one in versions.allowed]
            faults += _compare(name, arrived.get(name), allowed_texts, versions)
            target = arrived.get(name)
            if isinstance(target, str) and target.removeprefix("../") not in arrived:
                faults.append(f"{name} points to {target}, which is not there")
        return faults


def _compare(
    name: str, got: bytes | str | None, allowed: list[Any], versions: Versions
) -> list[str]:
    if got is None:
        return [f"{name} was promised and is not there"] if versions.promised >= 0 else []
    if got not in allowed:
        return [f"{name} is not its last version: {got[:15]!r}; last: {versions.allowed[:1]}"]
    return []
