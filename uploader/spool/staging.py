"""Copy a file into the spool so that it survives a crash: one function, in an order that matters.

1. open the source, and the staging file, which is locked with flock: recovery removes only staged
   files and blobs that no row names *and* nobody holds;
2. copy: a clone where the file system can (XFS, btrfs), else by reading and writing, with the
   CRC32C of each block taken on the way;
3. check that the source did not change meanwhile;
4. fsync the copy: before the rename, or a name could outlive a power loss without its bytes;
5. rename into `blobs/`: from here the file is complete and never changes;
6. fsync the directory: before the commit, or a row could outlive a power loss without its file;
7. the caller commits the row, and only then lets go of the lock (`Staged.release`).

A kill before 7 leaves a file without a row, which the next recovery sweeps.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploader.checksum import BlockChecksums
from uploader.crashpoint import reached
from uploader.errors import SourceChangedError, SpoolFullError
from uploader.spool.layout import is_id, let_go, open_private, sync_directory

if TYPE_CHECKING:
    from uploader.spool.layout import Layout

#: Bytes copied at a time; a checksum block is a multiple of it. The kernel takes page cache in
#: pieces of what is written at once; large ones can cost 2 s a GiB where a host took memory back.
CHUNK = 64 << 10
WRITEBACK = 8 << 20  #: bytes after which the disk is asked to begin writing, while we go on copying
FICLONE = 0x40049409  #: ioctl(2): share the source's extents; linux/fs.h

#: What ioctl(FICLONE) answers where no clone can be made; source: ioctl_ficlone(2).
_CANNOT_CLONE = {
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EINVAL,
    errno.EBADF,
    errno.EPERM,
    errno.ETXTBSY,
    errno.EINTR,
}


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """An open file that an artifact is made from."""

    path: str
    descriptor: int
    size: int  #: bytes
    mtime_ns: int

    def close(self) -> None:
        """Close the file."""
        let_go(self.descriptor)


@dataclass(frozen=True)
class Staged:
    """A complete copy in `blobs/`, still locked, with no row yet."""

    upload_id: str
    descriptor: int
    size: int  #: bytes
    checksums: BlockChecksums | None  #: None after a clone: nobody has read the bytes yet

    def release(self) -> None:
        """Let go of the lock: the row is committed, or the file was discarded."""
        let_go(self.descriptor)


def open_source(path: str) -> Source:
    """Open a file to be spooled.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError: as `open` does.
        OSError: it is a FIFO, a socket or a device.
    """
    # O_NONBLOCK: a FIFO without a writer would otherwise block training for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
    except OSError as error:
        let_go(descriptor)
        raise OSError(error.errno, error.strerror, path) from error
    if stat.S_ISREG(facts.st_mode):
        return Source(path, descriptor, facts.st_size, facts.st_mtime_ns)
    let_go(descriptor)
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory; log its files one by one", path)
    raise OSError(errno.EINVAL, "not a regular file; only files can be logged", path)


def stage(layout: Layout, source: Source, upload_id: str) -> Staged:
    """Copy `source` durably to `layout.blob(upload_id)`.

    Raises:
        SpoolFullError: the disk has no room; nothing is left behind.
        SourceChangedError: the source was written to under the copy; nothing is left behind.
        OSError: the source cannot be read, or the disk failed; nothing is left behind. A copy
            whose fsync failed is never asked for another: whoever calls again has a new one made.
    """
    staged, blob = layout.staged(upload_id), layout.blob(upload_id)
    descriptor = None
    try:
        descriptor = _create_locked(os.fspath(staged))
        reached("spool.staging-created")
        checksums = None if _cloned(source, descriptor) else _copy(source, descriptor)
        _require_unchanged(source, os.fstat(descriptor).st_size)
        reached("spool.copied")
        os.fsync(descriptor)
        reached("spool.synced")
        os.rename(staged, blob)
        reached("spool.renamed")
        sync_directory(blob.parent)
        reached("spool.directories-synced")
    except BaseException as error:
        discard(layout, upload_id)
        if descriptor is not None:
            let_go(descriptor)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"no room on the spool's disk for {source.path} ({source.size} bytes): {error}"
            msg += f"; free space in {layout.root} (df, df -i)"
            raise SpoolFullError(msg) from error
        if isinstance(error, OSError) and not error.filename:
            how = f"{error.strerror}, while it was copied into the spool; nothing was spooled"
            raise OSError(error.errno, how, source.path) from error
        raise
    return Staged(upload_id, descriptor, source.size, checksums)


def discard(layout: Layout, upload_id: str) -> None:
    """Remove an upload's bytes, wherever its copy had got to; what cannot be, the sweep tries."""
    if not is_id(upload_id):
        return  # of a row that was edited: no bytes of ours have such a name
    for path in (layout.blob_path(upload_id), layout.staged(upload_id)):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:  # it was replaced by a directory, say
            _log.warning("could not remove %s (the next sweep tries again): %s", path, error)
        return


def is_abandoned(path: str) -> bool:
    """Tell whether nobody holds the lock of a staged file or blob (its copier is gone)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        let_go(descriptor)
    return True


def _create_locked(path: str) -> int:
    while True:
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            is_there = os.fstat(descriptor).st_nlink
        except BaseException:
            let_go(descriptor)
            raise
        if is_there:
            return descriptor
        let_go(descriptor)  # swept between its making and its lock: make it again


def _cloned(source: Source, descriptor: int) -> bool:
    if not source.size:
        return False
    try:
        fcntl.ioctl(descriptor, FICLONE, source.descriptor)
    except OSError as error:
        if error.errno in _CANNOT_CLONE:
            return False
        raise
    return True


def _copy(source: Source, descriptor: int) -> BlockChecksums:
    checksums = BlockChecksums(source.size)
    os.lseek(source.descriptor, 0, os.SEEK_SET)  # it may be the second try, after a wait for room
    asked = 0
    while data := os.read(source.descriptor, CHUNK):
        checksums.update(data)
        _write_all(descriptor, data)
        if checksums.length - asked >= WRITEBACK:
            # Begins writing what is dirty and does not wait, so that the fsync finds little to do.
            os.posix_fadvise(descriptor, asked, checksums.length - asked, os.POSIX_FADV_DONTNEED)
            asked = checksums.length
    return checksums


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _require_unchanged(source: Source, copied: int) -> None:
    facts = os.fstat(source.descriptor)
    if (facts.st_size, facts.st_mtime_ns) != (
        source.size,
        source.mtime_ns,
    ) or copied != source.size:
        raise SourceChangedError(
            source.path,
            "the file changed while it was copied; log it after it is written and closed",
        )
