"""Make the database of a spool, and refuse one that this version cannot read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.errors import NotASpoolError, SpoolVersionError
from uploader.spool.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.spool.journal import Journal

VERSION = 2  #: of the tables; a newer spool is refused, an older one migrated
APPLICATION_ID = 0x41525453  #: "ARTS" in the database header: this file is a spool of ours

TABLE = "ack_queue_journal"  #: persist-queue's; it makes it before we are asked

#: How to come from each older version to the next: a script, run in the transaction that bumps it.
#: A new spool is `schema.sql`, which is version 1, and then all of them.
MIGRATIONS = {1: "watched.sql"}


def prepare(journal: Journal, directory: Path, *, create: bool) -> None:
    """Bring the database to this version; the caller holds `init.lock`.

    Raises:
        NotASpoolError: the file is another program's, or empty and `create` is false.
        SpoolDamagedError: it is empty, and there are payloads.
        SpoolVersionError: a newer version of this program wrote it.
    """
    version = _pragma(journal, "user_version")
    if version == 0:
        Layout(directory).refuse_loss()
        if not create or not _is_blank(journal):
            msg = (
                f"not a spool: {directory} holds a database that is not a spool's, or its making "
                f"was cut short; run: uploader init --spool {directory} --destination URL"
            )
            raise NotASpoolError(msg)
        _create(journal)
    elif version > VERSION:
        msg = (
            f"spool {directory} has version {version}; this program reads up to {VERSION}. "
            "Use the newer artifact-uploader that wrote it"
        )
        raise SpoolVersionError(msg)
    else:
        for old in range(version, VERSION):
            with journal.transaction():
                _execute(journal, MIGRATIONS[old])
                journal.execute(f"PRAGMA user_version = {old + 1}")


def _create(journal: Journal) -> None:
    with journal.transaction():
        for script in ("schema.sql", *MIGRATIONS.values()):
            _execute(journal, script)
        journal.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        journal.execute(f"PRAGMA user_version = {VERSION}")


def _execute(journal: Journal, script: str) -> None:
    for statement in _statements(Path(__file__).with_name(script).read_text()):
        journal.execute(statement)


def _is_blank(journal: Journal) -> bool:
    """Tell whether there is nothing but the journal in it: no other program's tables."""
    others = "SELECT count(*) FROM sqlite_master WHERE tbl_name NOT IN (?, 'sqlite_sequence')"
    return _pragma(journal, "application_id") == 0 and not journal.rows(others, (TABLE,))[0][0]


def _pragma(journal: Journal, name: str) -> int:
    return int(journal.rows(f"PRAGMA {name}")[0][0])


def _statements(script: str) -> Iterator[str]:
    """Split a script; `executescript` would commit the transaction that we are in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
