"""Writes out the shell commands that messages tell a person to run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def drain_command(spool_path: Path) -> str:
    """Return the command that uploads what is left in the spool."""
    return shlex.join(["uploader", "drain", "--spool", str(spool_path)])


def retry_command(spool_path: Path, upload_ids: Iterable[str]) -> str:
    """Return the command that makes dead letters ready again."""
    return shlex.join(["uploader", "retry", "--spool", str(spool_path), *upload_ids])
