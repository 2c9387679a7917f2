"""Say what to do when SQLite cannot read the spool's database, or not write it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uploader.errors import SpoolDamagedError, SpoolError
from uploader.spool.layout import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Errors of the file itself, not of what was asked of it.
_DAMAGE = (
    "malformed", "not a database", "disk image", "no such", "Could not decode", "unsupported file",
    "unable to open database",
)  # fmt: skip


@contextmanager
def damage_named(directory: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file itself into ours; those of what was asked go through."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        if "readonly" in str(error):
            msg = (
                f"the spool's database {directory / DATABASE} cannot be written: {error}; is its "
                "file system mounted read-only, or is the file somebody else's?"
            )
            raise SpoolError(msg) from error
        if any(word in str(error) for word in _DAMAGE):
            raise damaged(directory, str(error)) from error
        raise
    except UnicodeDecodeError as error:  # in the words of an error, or of the schema
        raise damaged(directory, str(error)) from error


def damaged(directory: Path, how: str) -> SpoolDamagedError:
    """Return the error of a database that cannot be read; it says what to do."""
    return SpoolDamagedError(
        f"the spool's database {directory / DATABASE} cannot be read: {how}. Nothing was "
        f"changed. The artifacts' bytes are in {directory / 'blobs'}; keep a copy of the whole "
        "directory before you try to repair the database (sqlite3's .recover)"
    )
