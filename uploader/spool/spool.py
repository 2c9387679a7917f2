"""Take artifacts in: durable on return, a snapshot, in order.

The design, with its constraints, is in `uploader/README.md`. In short: `put_file` copies the file
into `blobs/` (`staging.stage`, whose steps are in a fixed order) and then commits one journal row.
That commit is the moment from which the artifact cannot be lost. Before it there is nothing but a
file that recovery sweeps; after it, everything is the supervisor's.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploader import clock, url
from uploader.config import fitting
from uploader.crashpoint import reached
from uploader.errors import SpoolFullError, UploadFailedError
from uploader.model import POINTER_SUFFIX, Status, Upload, check_link, check_name
from uploader.place import Place, ambient_of
from uploader.spool import items, schema, staging
from uploader.spool.capacity import Capacity
from uploader.spool.damage import is_certain
from uploader.spool.items import Logged
from uploader.spool.journal import Journal
from uploader.spool.layout import Layout, let_go, locked, open_private, room_named
from uploader.spool.ledger import Ledger
from uploader.spool.ownership import ProducerLock
from uploader.spool.refusal import name_is_pending, refusal
from uploader.spool.remembered import Remembered
from uploader.spool.selection import chosen, select
from uploader.spool.status import status_of
from uploader.spool.watched import Watched
from uploader.state import FINISHED, LIVE, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from uploader.config import Options
    from uploader.spool.capacity import WhenFull
    from uploader.spool.items import Along

WAIT_POLL = 0.02  #: seconds between looks at the database in `wait`

_log = logging.getLogger(__name__)


class Spool:
    """A spool directory, opened by one process, for all its threads. Usable after a fork."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        destination: str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        max_bytes: int | None = None,
        min_free_bytes: int | None = None,
        when_full: WhenFull = "raise",
        producer: bool = True,
    ) -> None:
        """Open the spool at `path`; make it if there is none and `destination` is given.

        Args:
            path: a directory on a local disk.
            destination: the URL to upload to; the spool remembers it. Options may stand in its
                query, as s3://bucket/prefix?endpoint=https://minio:9000.
            options: see `config.Options`; remembered, and changed by what is given here.
            environment: options under those, as `config.from_environment` returns them; one that
                means nothing to this destination is left out.
            max_bytes: the most that may wait in the spool; remembered. None: as it was.
            min_free_bytes: what the disk keeps free; remembered. None: as it was (64 MiB at first).
            when_full: "raise" `SpoolFullError`, or "block" until there is room.
            producer: keep a running agent from leaving while this spool is open.

        Raises:
            NotASpoolError, SpoolDamagedError, SpoolVersionError: it cannot be read.
            DestinationMismatchError: it uploads to another destination.
            ValueError: a bad URL or option.
        """
        if when_full not in ("raise", "block"):
            msg = f'when_full must be "raise" or "block", not {when_full!r}'
            raise ValueError(msg)
        wanted = url.parse(destination) if destination is not None else None
        given = {**(wanted.options if wanted else {}), **(options or {})}
        around = dict(environment or {})
        if wanted:  # what is wrong is told before anything is made
            Place.of(str(wanted), {**fitting(around, wanted.scheme), **given})
        self._layout = Layout(Path(path).absolute())
        limits = {"max_bytes": max_bytes, "min_free_bytes": min_free_bytes}
        with room_named(self._layout.root):
            self._open(str(wanted) if wanted else None, given, around, limits)
        if wanted and wanted.scheme != "file":
            self._remembered.add_ambient(ambient_of(os.environ, wanted.scheme))
        self._target = url.parse(self.destination)
        self.ledger, self.watched = Ledger(self._journal), Watched(self._journal)
        self.capacity = Capacity.of(self._layout, self.ledger, self._remembered, when_full)
        self._producer = ProducerLock(self._layout) if producer else None
        self._version: int | None = None

    def __enter__(self) -> Self:
        """Return self; the spool is closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of the spool; what is in it stays. Again is harmless."""
        if self._producer:
            self._producer.release()
            self._producer = None
        self._journal.close()

    # -- what it is -----------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The directory."""
        return self._layout.root

    @property
    def layout(self) -> Layout:
        """The paths inside."""
        return self._layout

    @property
    def destination(self) -> str:
        """The URL that it uploads to."""
        return str(self._remembered.get("destination"))

    @property
    def options(self) -> Options:
        """What it remembers about how to upload."""
        return self._remembered.options

    @property
    def place(self) -> Place:
        """All that it knows about its destination, and all that a worker needs to open it."""
        remembered = self._remembered
        return Place(
            self.destination, remembered.options, remembered.ambient, remembered.capabilities
        )

    @property
    def remembered(self) -> Remembered:
        """Everything else that it remembers."""
        return self._remembered

    # -- putting --------------------------------------------------------------------------------

    def put_file(
        self,
        name: str,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        run: str = "",
        rank: int = 0,
    ) -> str:
        """Spool a file under a name; return the upload id once it cannot be lost any more.

        A name that ends in `.symlink` is how later Composer versions log a symlink: it is spooled
        as one, the file's text being the target.

        Raises:
            ValueError: a bad name; says which rule.
            FileExistsError: `overwrite` is false and an upload of the name is pending.
            FileNotFoundError, IsADirectoryError, PermissionError, OSError: the file.
            SourceChangedError: the file was written to while it was copied.
            SpoolFullError: no room.
        """
        logged = self._checked(Logged(name, overwrite, run, rank))
        source = staging.open_source(os.fspath(path))
        try:
            return self._put_source(logged, source)
        finally:
            source.close()

    def put_source(self, logged: Logged, source: staging.Source) -> str:
        """Spool a file that is open, and stays so; `logged.along` is part of its commit."""
        return self._put_source(self._checked(logged), source)

    def put_symlink(
        self,
        existing_name: str,
        name: str,
        *,
        overwrite: bool = False,
        run: str = "",
        rank: int = 0,
    ) -> str:
        """Spool a symlink `name` to the artifact `existing_name`; return the upload id.

        It becomes visible after every upload of its target that was enqueued before it.

        Raises:
            ValueError: a bad name, or a symlink to itself.
            FileExistsError: `overwrite` is false and an upload of the name is pending.
        """
        return self._link(existing_name, Logged(name, overwrite, run, rank))

    def _checked(self, logged: Logged) -> Logged:
        name = check_name(logged.name)
        self._target.require_room(name)
        return logged if name == logged.name else replace(logged, name=name)

    def _link(self, existing_name: str, logged: Logged) -> str:
        target, name = check_link(existing_name, logged.name)
        self._target.require_room(name + POINTER_SUFFIX)
        self._refuse_pending(name, overwrite=logged.overwrite)
        item = items.symlink_item(replace(logged, name=name), target)
        self._commit(item, logged.along)
        return str(item["id"])

    def _put_source(self, logged: Logged, source: staging.Source) -> str:
        if logged.name.endswith(POINTER_SUFFIX):
            link = replace(logged, name=logged.name[: -len(POINTER_SUFFIX)])
            return self._link(items.pointer_text(source), link)
        self._refuse_pending(logged.name, overwrite=logged.overwrite)
        while True:
            self.capacity.admit(source.path, source.size, logged.name if logged.overwrite else None)
            try:
                return self._stage_and_commit(logged, source)
            except SpoolFullError as error:
                self.capacity.refused(source.path, error)

    def _stage_and_commit(self, logged: Logged, source: staging.Source) -> str:
        with room_named(self.path):
            staged = staging.stage(self._layout, source, items.new_id())
        try:
            self._commit(items.file_item(logged, source, staged), logged.along)
        finally:
            staged.release()
        return staged.upload_id

    def _commit(self, item: dict[str, Any], along: Along | None = None) -> None:
        """Append the item to the journal; then remove the blobs of the versions that it supersedes.

        A refusal by the database is certain: the copy goes too. After any other error it is not
        known whether the row is there, so the copy stays: recovery sweeps it if no row names it.
        """
        superseded: list[str] = []
        try:
            with self._journal.transaction():
                if along:
                    along(item["id"])
                before = self.ledger.ready_versions(item["name"]) if item["overwrite"] else []
                self._journal.put(item)
                superseded = [one for one in before if not self.ledger.holds_bytes(one)]
        except sqlite3.IntegrityError as error:
            staging.discard(self._layout, item["id"])
            raise refusal(error, item, self.path) from error
        except SpoolFullError as error:
            if is_certain(error):
                staging.discard(self._layout, item["id"])
            raise
        reached("spool.committed")
        for upload_id in superseded:
            staging.discard(self._layout, upload_id)
            reached("spool.superseded-blob-unlinked")

    # -- following ------------------------------------------------------------------------------

    def wait(self, upload_id: str, timeout: float | None = None) -> Upload:
        """Wait until an upload has ended, for at most `timeout` seconds; return it.

        Raises:
            UploadFailedError: it is a dead letter, or was cancelled; says why.
            TimeoutError: it is still pending.
            KeyError: there is no such upload.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        pause = threading.Event()
        while (upload := self.upload(upload_id)).state not in FINISHED:
            if deadline is not None and clock.monotonic() >= deadline:
                msg = f"{upload.name} is still {upload.state.value} after {timeout} s"
                raise TimeoutError(msg)
            pause.wait(WAIT_POLL)
        if upload.state in (State.DEAD, State.CANCELLED):
            why = upload.error or "cancelled by a person"
            msg = f"{upload.name} is {upload.state.value}: {why}"
            raise UploadFailedError(msg)
        return upload

    def upload(self, upload_id: str) -> Upload:
        """Return an upload by id; `KeyError` if the spool does not know it."""
        found = self.ledger.select("WHERE id = ?", (upload_id,))
        if not found:
            msg = f"no upload {upload_id} in spool {self.path}"
            raise KeyError(msg)
        return found[0]

    def uploads(
        self, *, state: State | str | None = None, name_glob: str | None = None, limit: int = -1
    ) -> list[Upload]:
        """Return uploads in enqueue order, those of a state or with matching names only."""
        states = None if state is None else [State(state)]
        return select(self.ledger, states, name_glob=name_glob, limit=limit)

    def dead_letters(
        self, *, run: str | None = None, rank: int | None = None, limit: int = -1
    ) -> list[Upload]:
        """Return the dead letters, those of one run and rank if given."""
        return select(self.ledger, [State.DEAD], run=run, rank=rank, limit=limit)

    def pending(
        self, *, run: str | None = None, rank: int | None = None, limit: int = -1
    ) -> list[Upload]:
        """Return what has yet to end, that of one run and rank if given."""
        return select(self.ledger, LIVE, run=run, rank=rank, limit=limit)

    def changed(self) -> bool:
        """Tell whether another process has committed since the last call. Costs microseconds."""
        before, self._version = self._version, self._journal.data_version()
        return before != self._version

    def status(self, *, dead: int = -1) -> Status:
        """Return what `uploader status` shows; of the dead letters at most `dead`, the oldest."""
        return status_of(self._layout, self.destination, self.ledger, dead=dead)

    # -- a person's decisions -------------------------------------------------------------------

    def retry(self, *selectors: str, all: bool = False) -> list[Upload]:  # noqa: A002  as the flag
        """Put dead letters back to ready, by id or name; symlinks to them come along.

        One that a newer version has replaced ends as superseded instead. Returns them as they are
        now. Raises `KeyError` for a selector that names no dead letter.
        """
        picked = self._picked([State.DEAD], "dead letter", selectors, everything=all)
        for upload in picked:
            if self.ledger.retry(upload) is State.SUPERSEDED:
                staging.discard(self._layout, upload.id)
        return [self.upload(upload.id) for upload in picked]

    def cancel(self, *selectors: str, all: bool = False) -> list[Upload]:  # noqa: A002  as the flag
        """Give up uploads, by id or name; of an active one the supervisor is asked.

        Returns them as they are now. Raises `KeyError` for a selector that names nothing that
        could be cancelled.
        """
        states = [State.READY, State.ACTIVE, State.DEAD]
        picked = self._picked(states, "unfinished upload", selectors, everything=all)
        for upload in picked:
            if self.ledger.cancel(upload):
                staging.discard(self._layout, upload.id)
        return [self.upload(upload.id) for upload in picked]

    def _picked(
        self, states: list[State], what: str, selectors: tuple[str, ...], *, everything: bool
    ) -> list[Upload]:
        if everything:
            return select(self.ledger, states)
        return chosen(self.ledger, states, selectors, what=what)

    # -- helpers --------------------------------------------------------------------------------

    def _open(
        self,
        destination: str | None,
        options: Mapping[str, Any],
        environment: Mapping[str, Any],
        limits: Mapping[str, int | None],
    ) -> None:
        if destination is not None:
            self._layout.make()
        else:
            self._layout.require()
        with locked(self._layout.init_lock):
            if not self._layout.database.exists():
                self._layout.refuse_loss()
                # SQLite gives the log and the shared memory the mode of the database
                let_go(open_private(self._layout.database, os.O_RDWR | os.O_CREAT))
            self._journal = Journal(self._layout.root)
            try:
                schema.prepare(self._journal, self._layout.root, create=destination is not None)
                self._layout.require_rooms()
                self._remembered = Remembered(self._journal, self._layout.root)
                self._remembered.settle(destination, options, environment, limits)
            except BaseException:
                self._journal.close()
                raise

    def _refuse_pending(self, name: str, *, overwrite: bool) -> None:
        if not overwrite and self.ledger.name_is_pending(name):
            raise name_is_pending(name)
