"""Keep the durable queue: persist-queue's `SQLiteAckQueue`, used for what it does well.

The only file that imports persist-queue; the rest of the package knows `Journal`.

Facts that shape it (persist-queue 1.1.0; read in its source, and measured over 1,040 SIGKILLs):

- `put()` from many processes loses nothing. `get()` selects and then updates, so two consumers get
  one item twice: only the owner of the supervisor's lock consumes, always by id.
- Opening with `auto_resume=True` takes back what live processes hold: never done here. The owner
  puts back what its predecessor left active, row by row (`Ledger.recover`).
- Every method commits for itself. `_Connection` lets it do so only outside `transaction()`, so
  that a journal change and our own rows commit together, or not at all.
- `_count()` scans the table at every open: we count by the ledger's tally instead.
- WAL syncs at each commit only with `synchronous=FULL`; the library leaves it to SQLite's build.
- Threads of one process share the handle, one at a time: loggers are called from any thread.
- An SQLite handle carried over `fork()` silently loses rows: the pid is checked at each use, and
  the child opens its own. The inherited one is never closed there, since closing would
  checkpoint, and delete, a write-ahead log that is the parent's.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from persistqueue import SQLiteAckQueue
from persistqueue.serializers import json as json_serializer

from uploader.errors import SpoolDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

DATABASE = "spool.db"
BUSY_TIMEOUT = 60.0  #: seconds; a checkpoint of a large log on a slow disk may hold the lock long

CACHE = 8192  #: KiB of pages; the inner pages of the indexes over a million rows fit

#: Errors of the file itself, not of what was asked of it.
_DAMAGE = ("malformed", "not a database", "disk image", "no such table", "no such column")


class _Connection(sqlite3.Connection):
    """A connection whose commits wait while a `transaction()` of ours is open."""

    held = False

    def commit(self) -> None:
        if not self.held:
            super().commit()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        # On an error inside our transaction the caller of transaction() rolls back, once.
        return False if self.held else super().__exit__(kind, error, traceback)


class _Queue(SQLiteAckQueue):
    """persist-queue's queue with durable commits, and without scans at its opening."""

    def _new_db_connection(
        self,
        path: str,
        multithreading: bool,  # noqa: ARG002  the signature that the library calls
        timeout: float,
    ) -> _Connection:
        connection = sqlite3.connect(
            f"{path}/{self.db_file_name}",
            timeout=timeout,
            check_same_thread=False,  # `Journal` lets one thread in at a time
            factory=_Connection,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{CACHE}")
        return connection

    def _count(self) -> int:
        return 0


class Journal:
    """One process's handle on the spool's database."""

    def __init__(self, directory: Path) -> None:
        """Open the database in `directory`; the caller holds `init.lock` if it may be fresh."""
        self._directory = directory
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a forked child must not inherit one that is held
        with _damage_named(self._directory):
            self._queue = _Queue(
                str(self._directory),
                auto_resume=False,
                name="journal",
                serializer=json_serializer,
                timeout=BUSY_TIMEOUT,
                db_file_name=DATABASE,
            )
        self._connection = cast("_Connection", self._queue._conn)  # noqa: SLF001  no accessor

    @property
    def connection(self) -> _Connection:
        """The connection of this process (a new one in a forked child)."""
        if self._pid != os.getpid():
            _never_close(self._queue)
            self._open()
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside at once, fsynced; on any exception nothing of it.

        Inside another one it joins that.
        """
        connection = self.connection
        with self._lock, _damage_named(self._directory):
            if connection.held:
                yield
                return
            connection.execute("BEGIN IMMEDIATE")
            connection.held = True
            try:
                yield
            except BaseException:
                connection.held = False
                connection.rollback()
                raise
            connection.held = False
            try:
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Run one statement of ours; a write outside `transaction()` commits at once."""
        return cast("sqlite3.Cursor", self._call(self.connection.execute, sql, parameters))

    def rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Return all rows of a query; none is left open, since an open read pins the log."""
        connection = self.connection
        with self._lock, _damage_named(self._directory):
            return connection.execute(sql, parameters).fetchall()

    def put(self, item: dict[str, Any]) -> int:
        """Append an item: the commit point of an artifact. Return its sequence number."""
        return int(self._call(self._queue_of_process().put, item))

    def take(self, seq: int) -> dict[str, Any]:
        """Mark an item as being worked on and return it (owner only)."""
        raw = self._call(self._queue_of_process().get, block=False, id=seq, raw=True)
        return dict(raw["data"])

    def amend(self, seq: int, item: dict[str, Any]) -> None:
        """Replace an item's content (owner only)."""
        self._call(self._queue_of_process().update, item, id=seq)

    def ack(self, seq: int) -> None:
        """The item is finished; the ledger's triggers remove its row in the same transaction."""
        self._call(self._queue_of_process().ack, id=seq)

    def put_back(self, seq: int) -> None:
        """The item waits for its next attempt."""
        self._call(self._queue_of_process().nack, id=seq)

    def bury(self, seq: int) -> None:
        """The item is a dead letter; its row stays, for its retry."""
        self._call(self._queue_of_process().ack_failed, id=seq)

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has committed."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close the handle, if it is this process's own."""
        if self._pid == os.getpid():
            self._queue.close()

    def _queue_of_process(self) -> _Queue:
        _ = self.connection  # opens anew after a fork
        return self._queue

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # A method that fails half way (its serializer, say) would leave our rows pending and hold
        # the write lock; inside transaction() the caller rolls back, outside it is done here.
        connection = self._connection
        with self._lock, _damage_named(self._directory):
            try:
                answer = method(*args, **kwargs)
                if connection.in_transaction:
                    connection.commit()
                return answer
            except BaseException:
                if connection.in_transaction and not connection.held:
                    connection.rollback()
                raise


@contextmanager
def _damage_named(directory: Path) -> Iterator[None]:
    """Turn SQLite's errors about a damaged file into ours, which says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError) or not any(
            word in str(error) for word in _DAMAGE
        ):
            raise
        msg = (
            f"the spool's database {directory / DATABASE} cannot be read: {error}. Nothing was "
            f"changed. The artifacts' bytes are in {directory / 'blobs'}; keep a copy of the whole "
            "directory before you try to repair the database (sqlite3's .recover)"
        )
        raise SpoolDamagedError(msg) from error


def _never_close(inherited: object) -> None:
    """Keep an inherited handle alive for ever, so that no finalizer closes it in this child."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
