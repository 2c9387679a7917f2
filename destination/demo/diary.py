"""Keeps the trainer's own record of what it logged, which the verdict is measured by.

- One JSON object a line, written by one write(2) and fsynced before the trainer goes on: SIGKILL
  falls between lines, never into one.
- `begun` comes before a log call, `returned` after it. What lies between the two when a kill falls
  may have been kept or not: both are right.
- Sessions of one run append to the same diary.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from destination import ObjectStoreLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from destination import LogLevel, State


@dataclass(frozen=True)
class Diary:
    """The record in the file at `path`."""

    path: Path

    def write(self, event: str, **facts: Any) -> None:
        """Append one entry, and return when it is on the disk."""
        line = json.dumps({"event": event, **facts}) + "\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())
            os.fsync(file.fileno())

    def read(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the entries in order: of one kind, or all."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        entries: Iterator[dict[str, Any]] = map(json.loads, lines)
        return (entry for entry in entries if event in (None, entry["event"]))

    def promised(self) -> dict[str, set[str]]:
        """Return, for each name whose log call ever returned, the contents that it may have.

        That is what the last call that returned had logged, or what a later one had begun to log.
        """
        promised: dict[str, set[str]] = {}
        begun: dict[str, set[str]] = {}
        for entry in self.read():
            if entry["event"] == "begun":
                begun.setdefault(entry["name"], set()).add(entry["content"])
            elif entry["event"] == "returned":
                begun.pop(entry["name"])
                promised[entry["name"]] = {entry["content"]}
        return {name: contents | begun.get(name, set()) for name, contents in promised.items()}

    def names(self) -> set[str]:
        """Return every name that may be at the destination: each that a call was begun for."""
        return {entry["name"] for entry in self.read("begun")}


class WitnessedLogger(ObjectStoreLogger):
    """An `ObjectStoreLogger` that writes into a diary when a call begins and when it returned."""

    def __init__(self, diary: Diary, destination: str, **options: Any) -> None:
        super().__init__(destination, **options)
        self.diary = diary

    def log_file_artifact(
        self,
        state: State,
        log_level: LogLevel,
        artifact_name: str,
        file_path: Path,
        *,
        overwrite: bool,
    ) -> None:
        """Log a file; its content in the diary is its SHA-256."""
        content = digest(file_path)
        self.diary.write("begun", name=artifact_name, content=content)
        super().log_file_artifact(state, log_level, artifact_name, file_path, overwrite=overwrite)
        self.diary.write("returned", name=artifact_name, content=content)

    def log_symlink_artifact(
        self,
        state: State,
        log_level: LogLevel,
        existing_artifact_name: str,
        symlink_artifact_name: str,
        overwrite: bool,
    ) -> None:
        """Log a symlink; its content in the diary is its target."""
        link = {"name": symlink_artifact_name, "content": f"-> {existing_artifact_name}"}
        self.diary.write("begun", **link)
        super().log_symlink_artifact(
            state, log_level, existing_artifact_name, symlink_artifact_name, overwrite
        )
        self.diary.write("returned", **link)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
