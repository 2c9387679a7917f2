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
- `get(id=)` writes the id into the statement's text, so each call is a statement that SQLite has to
  compile, and that pushes one of ours out of its cache. `_Queue` binds it instead.
- WAL syncs at each commit only with `synchronous=FULL`; the library leaves it to SQLite's build.
- Threads of one process share the handle, one at a time: loggers are called from any thread.
- An SQLite handle carried over `fork()` silently loses rows, and a new one opened beside it in the
  child does too: SQLite keeps its file locks by process, so the child believes in locks that only
  the parent holds, and the parent, closing, deletes a log that the child still writes to. So every
  handle is closed before a fork, and opened again on either side at its next use.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

from persistqueue.exceptions import Empty
from persistqueue.serializers import json as json_serializer
from persistqueue.sqlackqueue import SQLiteAckQueue

from uploader.errors import SpoolDamagedError, SpoolError
from uploader.spool import wal
from uploader.spool.damage import damage_named, damaged, only_to_read
from uploader.spool.layout import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

BUSY_TIMEOUT = 60.0  #: seconds; a checkpoint of a large log on a slow disk may hold the lock long

OPENINGS = 3  #: before a database that can only be read is taken for just that

CACHE = 8192  #: KiB of pages; the inner pages of the indexes over a million rows fit


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

    def __init__(self, path: str, **options: Any) -> None:
        """Open, and leave no connection open if that fails (the library's own `__del__` would)."""
        try:
            super().__init__(path, **options)
        except BaseException:
            connection = getattr(self, "_conn", None)
            if connection is not None:
                connection.close()
            raise

    def _new_db_connection(
        self,
        path: str,
        multithreading: bool,  # noqa: ARG002  the signature that the library calls
        timeout: float,
    ) -> _Connection:
        database = f"{path}/{self.db_file_name}"
        log = wal.found(database)
        connection = sqlite3.connect(
            database,
            timeout=timeout,
            check_same_thread=False,  # `Journal` lets one thread in at a time
            factory=_Connection,
        )
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", f"cache_size=-{CACHE}"):
                connection.execute(f"PRAGMA {pragma}")
            wal.require_whole(log, database, connection)  # before anything is written
        except SpoolDamagedError:
            _never_close(connection)  # the last one to close removes the log, the only evidence
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def _count(self) -> int:
        return 0

    def _select(self, *args: Any, rowid: int | None = None, **kwargs: Any) -> Any:
        if rowid is None:
            return super()._select(*args, **kwargs)
        by_id = self._sql_select_id("?")
        return _connection_of(self).execute(by_id, (rowid,)).fetchone()


class Journal:
    """One process's handle on the spool's database."""

    def __init__(self, directory: Path) -> None:
        """Open the database in `directory`; the caller holds `init.lock` if it may be fresh."""
        self._directory = directory
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._queue: _Queue | None = None
        self._closed = False
        self._inherited = False  #: a handle came over a fork: this process must not use the spool
        self._opened = 0  #: times; each connection counts the commits of others anew
        with self._handle():
            _journals.add(self)

    @property
    def connection(self) -> _Connection:
        """The connection of this process."""
        with self._handle() as queue:
            return _connection_of(queue)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything done inside at once, fsynced; on any exception nothing of it.

        Inside another one it joins that.
        """
        with self._handle() as queue:
            connection = _connection_of(queue)
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
        with self._handle() as queue:
            connection = _connection_of(queue)
            return cast("sqlite3.Cursor", _whole(connection, connection.execute, sql, parameters))

    def rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Return all rows of a query; none is left open, since an open read pins the log."""
        with self._handle() as queue:
            connection = _connection_of(queue)
            try:
                return connection.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "Could not decode" not in str(error) or connection.text_factory is not str:
                    raise
            # One row that holds no text must not hide the others. (Not always so: it is slower.)
            connection.text_factory = _escaped
            return connection.execute(sql, parameters).fetchall()

    def put(self, item: dict[str, Any]) -> int:
        """Append an item: the commit point of an artifact. Return its sequence number."""
        return int(self._call("put", item))

    def take(self, seqs: Iterable[int]) -> list[Any]:
        """Mark items as being worked on and return them (owner only, inside `transaction()`).

        What stands there may not be an item any more; None for one that is gone, or is no JSON.
        """
        with self._handle() as queue:
            return [_taken(queue, seq) for seq in seqs]

    def amend(self, seq: int, item: dict[str, Any]) -> None:
        """Replace an item's content (owner only)."""
        self._call("update", item, id=seq)

    def ack(self, seqs: Iterable[int]) -> None:
        """Items are finished (inside `transaction()`, in which triggers remove their rows)."""
        with self._handle() as queue:
            for seq in seqs:
                queue.ack(id=seq)

    def put_back(self, seq: int) -> None:
        """The item waits for its next attempt."""
        self._call("nack", id=seq)

    def bury(self, seq: int) -> None:
        """The item is a dead letter; its row stays, for its retry."""
        self._call("ack_failed", id=seq)

    def is_sound(self) -> bool:
        """Tell whether all rows are as they must be. It reads all of the database.

        Raises:
            SpoolDamagedError: its tables or indexes are not.
        """
        if self.rows("PRAGMA integrity_check(1)") == [("ok",)]:
            return True
        with self.unchecked():
            found = self.rows("PRAGMA integrity_check(1)")
        if found != [("ok",)]:
            raise damaged(self._directory, " ".join(str(found[0][0]).split()))
        return False

    @contextmanager
    def unchecked(self) -> Iterator[None]:
        """Let rows be moved whose columns were edited into what the schema's CHECKs refuse."""
        with self._handle() as queue:  # for our thread alone
            connection = _connection_of(queue)
            connection.execute("PRAGMA ignore_check_constraints = ON")
            try:
                yield
            finally:
                connection.execute("PRAGMA ignore_check_constraints = OFF")

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has committed."""
        version = int(self.rows("PRAGMA data_version")[0][0])
        return self._opened << 32 | version

    def close(self) -> None:
        """Close the handle for good."""
        with self._lock:
            self._closed = True
            if self._queue is not None:
                self._queue.close()

    def let_go(self) -> None:
        """Close the handle until its next use, and let nobody in: a fork is about to happen."""
        self._lock.acquire()
        if self._queue is not None and not self._closed and not _connection_of(self._queue).held:
            self._queue.close()
            self._queue = None

    def go_on(self, *, in_child: bool) -> None:
        """Let threads in again, after the fork."""
        if not in_child:
            self._lock.release()
            return
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._inherited = self._queue is not None  # forked inside a transaction, the parent's

    @contextmanager
    def _handle(self) -> Iterator[_Queue]:
        """Let one thread in, with an open handle."""
        if self._inherited or self._pid != os.getpid():
            # A handle beside an inherited one takes no locks: rows would be lost without a word.
            _never_close(self._queue)
            msg = (
                f"spool {self._directory} was in use when this process was forked, inside a "
                "transaction or from C: start the process by exec, or open the spool in it only"
            )
            raise SpoolError(msg)
        with self._lock, damage_named(self._directory):
            if self._closed:
                msg = f"spool {self._directory} is closed"
                raise SpoolError(msg)
            if self._queue is None:
                self._queue = _open(self._directory)
                self._opened += 1
            try:
                yield self._queue
            except (sqlite3.OperationalError, SpoolError) as error:  # the latter from further in
                self._leave_readonly(error)
                raise

    def _leave_readonly(self, error: Exception) -> None:
        """Have the next use open the database anew, if it could not be written to."""
        queue = self._queue
        if "readonly" in str(error) and queue is not None and not _connection_of(queue).held:
            queue.close()
            self._queue = None

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with self._handle() as queue:
            return _whole(_connection_of(queue), getattr(queue, method), *args, **kwargs)


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()
_parted: list[Journal] = []  #: those that were let go of for the fork that is under way


def _before_fork() -> None:
    _parted[:] = _journals
    for journal in _parted:
        journal.let_go()


def _after_fork(*, in_child: bool) -> None:
    for journal in _parted:
        journal.go_on(in_child=in_child)
    _parted.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=partial(_after_fork, in_child=False),
    after_in_child=partial(_after_fork, in_child=True),
)


def _open(directory: Path) -> _Queue:
    """Open the database.

    Where it cannot be opened to be written (for want of descriptors, say), SQLite opens it to be
    read, and so it would stay when the reason is long gone: that is tried again.
    """
    queue = _new_queue(directory)
    for _ in range(1, OPENINGS):
        if not only_to_read(directory / DATABASE):
            break
        queue.close()
        queue = _new_queue(directory)
    return queue


def _new_queue(directory: Path) -> _Queue:
    try:
        return _Queue(
            str(directory),
            auto_resume=False,
            name="journal",
            serializer=json_serializer,
            timeout=BUSY_TIMEOUT,
            db_file_name=DATABASE,
        )
    except FileExistsError as error:  # the library makes the directory where it cannot see it,
        os.stat(directory)  # and why that was may be said here
        msg = (
            f"the directory of spool {directory} could not be looked at; nothing is lost: try again"
        )
        raise SpoolError(msg) from error


def _taken(queue: _Queue, seq: int) -> Any:
    try:
        return queue.get(block=False, id=seq)
    except (Empty, ValueError, RecursionError, AttributeError):  # the last: it is no text
        return None


def _escaped(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _connection_of(queue: _Queue) -> _Connection:
    return cast("_Connection", queue._conn)  # noqa: SLF001  no public accessor


def _whole(connection: _Connection, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what writes: committed on return, undone on an error.

    A method that fails half way (its serializer, say) would leave our rows pending and hold the
    write lock. Inside `transaction()` the caller commits or rolls back.
    """
    try:
        answer = method(*args, **kwargs)
        if connection.in_transaction:
            connection.commit()
        return answer
    except BaseException:
        if connection.in_transaction and not connection.held:
            connection.rollback()
        raise


def _never_close(handle: object) -> None:
    """Keep a handle alive for ever, so that no finalizer closes it in this process."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
