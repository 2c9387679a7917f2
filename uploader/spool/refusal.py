"""Say in the words of the interface what the database refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uploader.errors import SpoolFullError
from uploader.spool.damage import damaged
from uploader.spool.watched import KnownFileError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


def refusal(error: sqlite3.IntegrityError, item: dict[str, Any], directory: Path) -> Exception:
    """Return the error of a put that the schema of the spool in `directory` refused."""
    if "pending" in str(error):
        return name_is_pending(item["name"])
    if "full" in str(error):
        return SpoolFullError(f"the spool {directory} is full: {error} (max_bytes)")
    if "known" in str(error):
        return KnownFileError("the file was spooled already, by another that watches its directory")
    return damaged(directory, f"it refuses what it must take: {error}")


def name_is_pending(name: str) -> FileExistsError:
    """Return the error of a create-only put whose name has yet to end."""
    return FileExistsError(
        f"{name!r} is already enqueued and overwrite=False; "
        "wait for it, use another name, or overwrite"
    )
