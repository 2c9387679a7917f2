"""Fetch an artifact: the spool's own newer copy first, else what the destination holds.

- A name is looked up in the spool and then in the store, and again so for each symlink on the way:
  a `latest` that is still to be uploaded may point to an artifact that was uploaded long ago, or
  the other way round.
- A dead letter counts as a newer copy: it is what was logged. One that died of a conflict does
  not, since the name is somebody else's at the destination.
- The file appears complete and checked, or not at all.
- Meanwhile an upload may end and its blob be removed, or an object be replaced: what does not have
  its checksum is looked up again a few times.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from uploader import checksum
from uploader.drain.gate import PREPARED
from uploader.errors import DamagedError, ErrorClass, NotFoundError, TransientError
from uploader.model import POINTER_SUFFIX, Kind, check_name
from uploader.policy import RetryPolicy, try_in_step
from uploader.spool.spool import Spool
from uploader.state import HOLDS_BYTES
from uploader.store import alias
from uploader.store.body import Body
from uploader.store.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.model import Upload
    from uploader.place import Place
    from uploader.store.base import ObjectInfo, ObjectStore

    Progress = Callable[[int, int], None]  #: bytes so far, bytes in all

LOOKUPS = 3  #: times that a name is looked up anew when its bytes changed under the read
READ_FAILURES = 5  #: transient failures in a row before a read is given up

_log = logging.getLogger(__name__)
_pause = threading.Event()


def fetch(
    spool_path: str | os.PathLike[str],
    name: str,
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write an artifact of a spool, or of its destination, to a file.

    Args:
        spool_path: the spool's directory.
        name: the artifact's name; one that ends in `.symlink` means the symlink without it.
        destination: the file to write; in a directory, the name's last segment.
        overwrite: replace an existing file.
        progress: called now and then with the bytes so far and the bytes in all.

    Raises:
        FileNotFoundError: there is no such artifact, or a symlink points to nothing.
        FileExistsError: the file exists and `overwrite` is false.
        ValueError: a bad name.
        DamagedError: the bytes that were found are not those that were logged.
        StoreError: the destination could not be read.
    """
    with Spool(spool_path, producer=False) as spool:
        fetch_from(spool, spool.place, name, destination, overwrite=overwrite, progress=progress)


def fetch_from(
    spool: Spool | None,
    source: Place,
    name: str,
    destination: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Do as `fetch` does, from a spool if there is one and from the destination `source`."""
    name = check_name(name).removesuffix(POINTER_SUFFIX)
    path = _path(name, destination)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(errno.EEXIST, "exists; overwrite it, or name another file", path)
    sources = _Sources(spool, source)
    try:
        for lookups_left in reversed(range(LOOKUPS)):
            try:
                return _save(sources.find(name), path, overwrite, progress)
            except DamagedError:
                if not lookups_left:
                    raise
    finally:
        sources.close()


@dataclass(frozen=True)
class _Found:
    """Where an artifact's bytes are."""

    name: str
    size: int  #: bytes
    crc32c: int | None  #: None: nobody knows it
    chunks: Callable[[], Iterator[bytes]]


@dataclass
class _Sources:
    """A spool, or none, in front of a store, which is opened when it is needed.

    What the spool has must be had also where no credentials are found, or nobody answers.
    """

    spool: Spool | None
    place: Place
    _store: ObjectStore | None = None

    @property
    def store(self) -> ObjectStore:
        """The destination."""
        if self._store is None:
            self._store = open_store(self.place)
        return self._store

    def close(self) -> None:
        """Let go of the destination."""
        if self._store is not None:
            self._store.close()

    def find(self, name: str) -> _Found:
        """Follow symlinks from `name` to the bytes."""
        first = name
        for _ in range(alias.MAX_HOPS + 1):  # and the object at their end
            upload = self._newest(name)
            if upload and upload.state in HOLDS_BYTES and upload.kind is Kind.FILE:
                return self._in_spool(upload)
            if upload and upload.state in HOLDS_BYTES and upload.target:
                name = upload.target
                continue
            info = self._in_store(name, first)
            if isinstance(info, str):
                name = info
                continue
            known = upload.crc32c if upload and upload.id == info.upload_id else None
            crc32c = known if info.crc32c is None else info.crc32c
            return _Found(name, info.size, crc32c, partial(_resumed, self.store, name))
        raise OSError(errno.ELOOP, f"more than {alias.MAX_HOPS} symlinks in a row: a loop", first)

    def _newest(self, name: str) -> Upload | None:
        """Return the newest version in the spool that is, or is to be, the artifact `name`."""
        if self.spool is None:
            return None
        for upload in self.spool.ledger.versions(name):
            if upload.error_class is not ErrorClass.CONFLICT:
                return upload
            _log.warning(
                "%s: the version of this spool lost the name to another object at the destination "
                "(upload %s, a dead letter); what is there is read instead",
                name, upload.id,
            )  # fmt: skip
        return None

    def _in_spool(self, upload: Upload) -> _Found:
        assert self.spool is not None  # noqa: S101  the upload came from it
        blob = os.fspath(self.spool.layout.blob(upload.id))
        body = Body(blob, 0, upload.size or 0, upload.crc32c)
        return _Found(upload.name, body.size, body.crc32c, body.chunks)

    def _in_store(self, name: str, first: str) -> ObjectInfo | str:
        """Return the object, or the name that a symlink of the store points to."""
        try:
            with suppress(NotFoundError):
                info = try_in_step(lambda: self.store.head(name))
                return info if info.target is None else info.target
            return try_in_step(lambda: alias.pointer_target(self.store, name))
        except NotFoundError as error:
            raise self._nowhere(name, first) from error
        except TransientError as error:
            if self._was_never_made():
                raise self._nowhere(name, first) from error
            raise

    def _was_never_made(self) -> bool:
        """Tell whether the destination is a directory that the first upload is still to make.

        A training script that looks for a checkpoint at its very first start must be told that
        there is none, not that a disk is missing.
        """
        parsed = self.place.destination
        return (
            self.spool is not None
            and self.spool.remembered.get(PREPARED) is None
            and parsed.scheme == "file"
            and not os.path.lexists(parsed.path)
        )

    def _nowhere(self, name: str, first: str) -> NotFoundError:
        url = self.place.url
        where = f"{url}, nor in the spool {self.spool.path}" if self.spool else url
        through = "" if name == first else f", to which {first} points"
        return NotFoundError(f"no artifact {name}{through}, in {where}")


def _resumed(store: ObjectStore, name: str) -> Iterator[bytes]:
    """Read an object; after a transient failure go on from where it broke off."""
    offset = failures = 0
    while True:
        try:
            for chunk in store.read(name, offset):
                offset += len(chunk)
                failures = 0
                yield chunk
            return
        except TransientError as error:
            failures += 1
            if failures == READ_FAILURES:
                raise
            _pause.wait(RetryPolicy().delay(error.error_class, failures))


def _path(name: str, destination: str | os.PathLike[str]) -> str:
    path = os.fspath(destination)
    return os.path.join(path, os.path.basename(name)) if os.path.isdir(path) else path


def _save(found: _Found, path: str, overwrite: bool, progress: Progress | None) -> None:
    """Write the bytes beside `path`, check them, make them durable, and only then give the name."""
    directory = os.path.dirname(path) or "."
    temporary = os.path.join(directory, f".uploader-get-{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            value, size = 0, 0
            for chunk in found.chunks():
                file.write(chunk)
                value, size = checksum.crc32c(chunk, value), size + len(chunk)
                if progress:
                    progress(size, found.size)
            _require(found, size, value)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path, overwrite)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync(directory)


def _require(found: _Found, size: int, value: int) -> None:
    if size != found.size:
        raise DamagedError(f"{found.name}: {size} bytes were read, {found.size} were expected")
    if found.crc32c is not None and value != found.crc32c:
        raise DamagedError(
            f"{found.name}: the bytes that were read have CRC32C {value:08x}, those that were "
            f"logged had {found.crc32c:08x}; nothing was written"
        )


def _publish(temporary: str, path: str, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike rename it never replaces, also in a race
    except FileExistsError as error:
        raise FileExistsError(
            errno.EEXIST, "exists; overwrite it, or name another file", path
        ) from error
    except OSError:  # no hard links on this file system
        if os.path.lexists(path):
            raise
        os.rename(temporary, path)
        return
    os.unlink(temporary)


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
