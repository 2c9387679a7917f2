"""Store objects as files below a directory: `file:///path`, on any file system.

- An object appears complete or not at all: it is written under a hidden temporary name in its own
  directory, fsynced, and then renamed (OVERWRITE) or hard-linked (CREATE: `link` fails if the name
  exists, so the file system decides a race).
- Parts are written at their offsets into the temporary file and fsynced before they are answered:
  a part that was recorded is on the disk.
- The upload's id and checksum are extended attributes (`user.uploader.*`); where the file system
  has none, a retry knows its own object by size and checksum.
- Nothing is ever written outside the root: each directory on the way is opened with O_NOFOLLOW, so
  a symlink planted there is an error, not a way out.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from uploader import checksum, clock
from uploader.crashpoint import reached
from uploader.errors import (
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import PutMode, Receipt, SentPart, SymlinkMode
from uploader.store import local_files as files
from uploader.store.base import ObjectInfo
from uploader.store.body import CHUNK
from uploader.store.limits import LOCAL
from uploader.store.local_probe import probe_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from uploader.model import Part
    from uploader.store.base import ObjectMeta
    from uploader.store.body import Body
    from uploader.store.probe import Probed


class LocalStore:
    """The objects below one directory."""

    limits = LOCAL
    symlink_modes = (SymlinkMode.NATIVE, SymlinkMode.POINTER, SymlinkMode.COPY)

    def __init__(self, root: str) -> None:
        """Use the directory `root`; nothing is touched yet."""
        self._root = root

    def prepare(self, *, first: bool) -> None:
        """See `ObjectStore.prepare`: only the first time is a missing root made.

        Later a missing root means that a file system is not mounted; to make it then would put
        the artifacts where nobody looks for them.
        """
        try:
            if first:
                files.make_root(self._root)
            files.try_to_write(self._root)
        except OSError as error:
            msg = f"cannot write to destination {self._root}: {error.strerror}"
            if error.errno in files.PASSING:
                raise TransientError(msg) from error
            missing = error.errno == errno.ENOENT
            hint = "is its file system mounted?" if missing else "check its permissions"
            msg = f"{msg}; {hint}"
            raise PermanentError(msg) from error

    def probe(self) -> Probed:
        """See `ObjectStore.probe`."""
        return probe_directory(self._root)

    # -- writing --------------------------------------------------------------------------------

    def put(self, name: str, body: Body, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.put`."""
        with self._directory(name, make=True) as (directory, _):
            self._refuse_existing(directory, name, mode, meta)
            with files.new_temporary(directory, meta.upload_id) as (temporary, file):
                for chunk in body.chunks():
                    files.write_all(file, chunk, None)
                self._seal(file, meta)
                return self._publish(directory, temporary, name, mode, meta)

    def begin(self, name: str, mode: PutMode, meta: ObjectMeta) -> str:
        """See `ObjectStore.begin`: a temporary file of the full size, whose room is reserved."""
        with self._directory(name, make=True) as (directory, _):
            self._refuse_existing(directory, name, mode, meta)
            with files.new_temporary(directory, meta.upload_id) as (session, file):
                files.reserve(file, meta.size)
                os.fsync(file)
            os.fsync(directory)
            return session

    def put_part(self, name: str, session: str, part: Part, body: Body) -> SentPart:
        """See `ObjectStore.put_part`."""
        with (
            self._directory(name) as (directory, _),
            files.closing(files.open_session(session, directory)) as file,
        ):
            at = part.offset
            for chunk in body.chunks():
                files.write_all(file, chunk, at)
                at += len(chunk)
            os.fdatasync(file)
            reached("local.part-written")
        return SentPart(part.number, part.size, str(part.offset))

    def sent_parts(self, name: str, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """See `ObjectStore.sent_parts`: every recorded part was fsynced before."""
        with (
            self._directory(name) as (directory, _),
            files.closing(files.open_session(session, directory)),
        ):
            return recorded

    def complete(
        self,
        name: str,
        session: str,
        parts: list[SentPart],
        mode: PutMode,
        meta: ObjectMeta,
        *,
        whole: Body,
    ) -> Receipt:
        """See `ObjectStore.complete`."""
        del whole
        with self._directory(name) as (directory, leaf):
            if mode is PutMode.CREATE and (own := self._own(directory, leaf, meta)):
                files.unlink(session, directory)
                os.fsync(directory)  # whoever made it may have ended, or failed, before its own
                return own
            try:
                file = files.open_session(session, directory)
            except SessionLostError:
                if own := self._own(directory, leaf, meta):
                    os.fsync(directory)
                    return own
                raise
            with files.closing(file):
                sent = sum(part.size for part in parts)
                if sent != meta.size or os.fstat(file).st_size != meta.size:
                    msg = f"the parts of {name} have {sent} bytes, not {meta.size}"
                    raise SessionLostError(msg)
                self._seal(file, meta)
            return self._publish(directory, session, name, mode, meta)

    def abort(self, name: str, session: str | None, upload_id: str) -> None:
        """See `ObjectStore.abort`: sessions and puts use the same temporary name."""
        del session
        with suppress(NotFoundError), self._directory(name) as (directory, leaf):
            files.unlink(files.temporary_name(upload_id), directory)
            if files.is_claim(directory, leaf, upload_id):
                files.unlink(leaf, directory)

    def copy(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.copy`."""
        value = 0
        for chunk in self.read(target):
            value = checksum.crc32c(chunk, value)
        meta = replace(meta, size=self.head(target).size, crc32c=value)
        with self._directory(name, make=True) as (directory, _):
            self._refuse_existing(directory, name, mode, meta)
            with files.new_temporary(directory, meta.upload_id) as (temporary, file):
                for chunk in self.read(target):
                    files.write_all(file, chunk, None)
                self._seal(file, meta)
                return self._publish(directory, temporary, name, mode, meta)

    def symlink(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.symlink`: relative, so that the tree can be moved as a whole."""
        text = os.path.relpath(target, os.path.dirname(name) or ".")
        with self._directory(name, make=True) as (directory, leaf):
            temporary = files.temporary_name(meta.upload_id)
            try:
                if mode is PutMode.OVERWRITE:
                    files.unlink(temporary, directory)
                    os.symlink(text, temporary, dir_fd=directory)
                    os.rename(temporary, leaf, src_dir_fd=directory, dst_dir_fd=directory)
                else:
                    os.symlink(text, leaf, dir_fd=directory)
            except FileExistsError as error:
                if files.readlink(leaf, directory) != text:
                    raise _conflict(name) from error
            reached("local.published")
            os.fsync(directory)
            reached("local.directory-synced")
            return _receipt(os.stat(leaf, dir_fd=directory, follow_symlinks=False), None)

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        with suppress(NotFoundError), self._directory(name) as (directory, leaf):
            if files.unlink(leaf, directory):
                os.fsync(directory)

    # -- reading --------------------------------------------------------------------------------

    def absent(self, names: Sequence[str]) -> set[str]:
        """See `ObjectStore.absent`: a look at each costs little here."""
        del names
        return set()

    def head(self, name: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        with self._directory(name) as (directory, leaf):
            return self._info(directory, leaf, name)

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        with self._directory(name) as (directory, leaf):
            descriptor = files.open_file(leaf, os.O_RDONLY | os.O_NONBLOCK, directory)
            with files.closing(descriptor):
                while chunk := os.pread(descriptor, CHUNK, offset):
                    offset += len(chunk)
                    yield chunk

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.objects`."""
        for path, name in self._walk():
            if name.startswith(prefix) and files.is_object(path):
                with suppress(NotFoundError):  # it went away meanwhile
                    yield self.head(name)

    def full_name(self, name: str) -> str:
        """See `ObjectStore.full_name`: the root stands for the bucket."""
        return name

    def artifact_name(self, full_name: str) -> str:
        """See `ObjectStore.artifact_name`."""
        return full_name

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """See `ObjectStore.sweep`."""
        swept = []
        for path, name in self._walk():
            leaf = os.path.basename(path)
            if not files.is_temporary(leaf) or leaf in keep:
                continue
            with suppress(FileNotFoundError):
                # ctime: a sealed object has the mtime of its source, which may be years ago.
                if clock.now() - os.lstat(path).st_ctime >= older_than:
                    os.unlink(path)
                    swept.append(name)
        return swept

    def close(self) -> None:
        """See `ObjectStore.close`: there is nothing to let go of."""

    # -- helpers --------------------------------------------------------------------------------

    def _walk(self) -> Iterator[tuple[str, str]]:
        for directory, _, leaves in os.walk(self._root):
            for leaf in sorted(leaves):
                path = os.path.join(directory, leaf)
                yield path, os.path.relpath(path, self._root)

    @contextmanager
    def _directory(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the directory of `name`, step by step below the root; classify what goes wrong."""
        *way, leaf = name.split("/")
        if ".." in (*way, leaf):
            msg = f"{name} leads out of {self._root}"
            raise PermanentError(msg)
        if make and files.is_temporary(leaf):
            msg = f"{name} is a name of an unfinished upload, which would be swept: use another"
            raise PermanentError(msg)
        with files.classified(name, self._root):
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for segment in way:
                    outer, descriptor = descriptor, files.enter(descriptor, segment, make=make)
                    os.close(outer)
                yield descriptor, leaf
            finally:
                os.close(descriptor)

    def _refuse_existing(self, directory: int, name: str, mode: PutMode, meta: ObjectMeta) -> None:
        """Find a conflict before the bytes are sent, not after."""
        leaf = os.path.basename(name)
        if (
            mode is PutMode.CREATE
            and files.exists(leaf, directory)
            and not files.is_claim(directory, leaf, meta.upload_id)
            and not self._own(directory, leaf, meta)
        ):
            raise _conflict(name)

    def _own(self, directory: int, leaf: str, meta: ObjectMeta) -> Receipt | None:
        """Return the receipt of an existing object that this same upload has made, else None."""
        try:
            info = self._info(directory, leaf, leaf)
        except FileNotFoundError:
            return None
        same = (
            info.upload_id == meta.upload_id
            if info.upload_id
            else self._same_bytes(directory, leaf, meta)
        )
        return (
            _receipt(os.stat(leaf, dir_fd=directory, follow_symlinks=False), meta.crc32c)
            if same
            else None
        )

    def _same_bytes(self, directory: int, leaf: str, meta: ObjectMeta) -> bool:
        """Compare the bytes, where the file system cannot keep whose they are."""
        facts = os.stat(leaf, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != meta.size or meta.crc32c is None:
            return False
        with files.closing(files.open_file(leaf, os.O_RDONLY, directory)) as file:
            if files.has_attributes(file):
                return False  # it could say whose it is, and does not: somebody else's
            value = 0
            while chunk := os.read(file, CHUNK):
                value = checksum.crc32c(chunk, value)
        return value == meta.crc32c

    def _seal(self, descriptor: int, meta: ObjectMeta) -> None:
        """Write what belongs beside the bytes, and make all of it durable."""
        values = {"upload_id": meta.upload_id, "run": meta.run, "rank": str(meta.rank)}
        if meta.crc32c is not None:
            values["crc32c"] = f"{meta.crc32c:08x}"
        try:
            for key, value in values.items():
                os.setxattr(descriptor, files.ATTRIBUTE + key, value.encode())
        except OSError as error:
            if error.errno not in files.NO_ATTRIBUTES:
                raise
        if meta.source_mtime is not None:
            os.utime(descriptor, (time.time(), meta.source_mtime))
        os.fsync(descriptor)
        reached("local.temporary-synced")

    def _publish(
        self, directory: int, temporary: str, name: str, mode: PutMode, meta: ObjectMeta
    ) -> Receipt:
        """Give the finished temporary file its name: the one moment at which it becomes visible."""
        leaf = os.path.basename(name)
        if mode is PutMode.OVERWRITE:
            os.rename(temporary, leaf, src_dir_fd=directory, dst_dir_fd=directory)
        else:
            try:
                files.link_or_claim(directory, temporary, leaf, meta.upload_id)
            except FileExistsError as error:
                if not self._own(directory, leaf, meta):
                    files.unlink(temporary, directory)
                    raise _conflict(name) from error
            reached("local.linked")
            files.unlink(temporary, directory)
        reached("local.published")
        os.fsync(directory)
        reached("local.directory-synced")
        return _receipt(os.stat(leaf, dir_fd=directory, follow_symlinks=False), meta.crc32c)

    def _info(self, directory: int, leaf: str, name: str) -> ObjectInfo:
        facts = os.stat(leaf, dir_fd=directory, follow_symlinks=False)
        target = None
        crc32c, upload_id = None, None
        if stat.S_ISLNK(facts.st_mode):
            text = os.readlink(leaf, dir_fd=directory)
            target = os.path.normpath(os.path.join(os.path.dirname(name), text))
        elif stat.S_ISREG(facts.st_mode):
            with files.closing(
                files.open_file(leaf, os.O_RDONLY | os.O_NONBLOCK, directory)
            ) as file:
                upload_id = files.attribute(file, "upload_id")
                crc32c = files.attribute(file, "crc32c")
        else:
            msg = f"{name} is a directory or a special file"
            raise IsADirectoryError(errno.EISDIR, msg)
        return ObjectInfo(
            name=name,
            size=facts.st_size,
            crc32c=int(crc32c, 16) if crc32c else None,
            upload_id=upload_id,
            etag=_receipt(facts, None).etag,
            target=target,
        )


def _conflict(name: str) -> ConflictError:
    return ConflictError(
        f"{name} already exists, but overwrite was set to False; nothing was replaced"
    )


def _receipt(facts: os.stat_result, crc32c: int | None) -> Receipt:
    return Receipt(
        etag=f"{facts.st_ino:x}-{facts.st_mtime_ns:x}",
        size=facts.st_size,
        crc32c=crc32c,
        time=clock.now(),
    )
