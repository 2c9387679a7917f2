"""Find every spool below a directory, for the commands that take `--all`.

A node has a spool for each destination, or for each job that ran on it. What looks like a spool
but has lost its database is one too: who is told of all spools must hear of that one as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uploader import config
from uploader.cli.exit_codes import ExitCode
from uploader.spool.layout import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Which exit code says most to whoever must act, of several spools': the first one that occurs.
_GRAVEST_FIRST = (
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.SPOOL,
    ExitCode.REFUSED,
    ExitCode.DEAD_LETTERS,
    ExitCode.FULL,
    ExitCode.INTERRUPTED,
    ExitCode.WORK_REMAINS,
)

_WITHOUT_DATABASE = frozenset(("blobs", "staging"))  #: directories that tell a spool all the same


@dataclass(frozen=True)
class Found:
    """The spools below a directory."""

    directory: Path
    spools: tuple[Path, ...]  #: by path
    unreadable: tuple[str, ...]  #: why some directories could not be looked into


def every_spool(directory: str | None) -> Found:
    """Return the spools in and below a directory; by default, the user's own.

    Symlinks are not followed, and no spool is looked for inside another.

    Raises:
        click.UsageError: the directory is not there.
    """
    root = config.own_spools() if directory is None else Path(os.path.abspath(directory))
    if directory == "" or (directory and not root.is_dir()):
        raise click.UsageError(f"no such directory: {directory!r}; name the one above the spools")
    if not root.is_dir():  # nothing was ever logged without a name for the spool
        return Found(root, (), ())
    spools: list[Path] = []
    errors: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=errors.append):
        if DATABASE in files or _WITHOUT_DATABASE.issubset(folders):
            spools.append(Path(folder))
            folders.clear()
    reasons = tuple(f"{error.filename}: {error.strerror}" for error in errors)
    return Found(root, tuple(sorted(spools)), reasons)


def gravest(codes: Iterable[int]) -> ExitCode:
    """Return the exit code that stands for all of these; others than ours count as internal."""
    known = {int(code) for code in ExitCode}
    occurring = {ExitCode(code) if code in known else ExitCode.INTERNAL for code in codes}
    return next((code for code in _GRAVEST_FIRST if code in occurring), ExitCode.DONE)
