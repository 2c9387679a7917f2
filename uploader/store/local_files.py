"""Do what the local store needs of the file system, safely: below its root, durable, exclusive.

- Each directory on the way is opened from the one above it, with O_NOFOLLOW.
- An operating system error is given its class here, once (`classified`).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from uploader.errors import (
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    TransientError,
)
from uploader.model import ID_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPORARY = ".uploader-"  #: prefix of the hidden names; the upload id follows
ATTRIBUTE = "user.uploader."
NO_ATTRIBUTES = {errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.ENOSYS}

#: Errors of the system that are no refusal by the destination.
PASSING = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

#: What open(2) answers to O_TMPFILE where a file must have a name (NFS, FUSE).
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}

_PERMANENT = {
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
    errno.EINVAL, errno.EFBIG, errno.EMLINK, errno.ENOTEMPTY, errno.EILSEQ,
}  # fmt: skip


@contextmanager
def classified(name: str, root: str) -> Iterator[None]:
    """Say once, here, what an operating system error means for the schedule."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        if not os.path.isdir(root):
            msg = f"the destination {root} is not there; is its file system mounted?"
            raise TransientError(msg) from error
        msg = f"no object {name} in {root}"
        raise NotFoundError(msg) from error
    except OSError as error:
        msg = f"{name} in {root}: {error.strerror}"
        raise (PermanentError if error.errno in _PERMANENT else TransientError)(msg) from error


def enter(directory: int, segment: str, *, make: bool) -> int:
    """Open a directory inside an open one."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(segment, flags, dir_fd=directory)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(segment, dir_fd=directory)
    os.fsync(directory)  # also when another process made it: it may not have synced it yet
    return os.open(segment, flags, dir_fd=directory)


def open_file(leaf: str, flags: int, directory: int) -> int:
    """Open a file in an open directory; never through a symlink."""
    return os.open(leaf, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=directory)


@contextmanager
def new_temporary(directory: int, upload_id: str) -> Iterator[tuple[str, int]]:
    """Begin the hidden file of an upload; on any error it is removed, since it takes room."""
    leaf = temporary_name(upload_id)
    descriptor = open_file(leaf, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, directory)
    try:
        with closing(descriptor):
            yield leaf, descriptor
    except BaseException:
        unlink(leaf, directory)
        raise


def open_session(session: str, directory: int) -> int:
    """Open the unfinished file of a session for writing; `SessionLostError` if it is gone."""
    if not is_temporary(session):
        msg = f"not a session of this store: {session[:80]!r}"
        raise SessionLostError(msg)
    try:
        return open_file(session, os.O_WRONLY, directory)
    except FileNotFoundError as error:
        msg = f"the unfinished file {session} is gone; the upload begins again"
        raise SessionLostError(msg) from error


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, offset: int | None) -> None:
    """Write all of `data`, at `offset` if one is given."""
    view = memoryview(data)
    while view:
        written = (
            os.write(descriptor, view) if offset is None else os.pwrite(descriptor, view, offset)
        )
        view = view[written:]
        offset = None if offset is None else offset + written


def reserve(descriptor: int, size: int) -> None:
    """Take the room for a large file now: a full disk shows before the bytes are sent."""
    if size:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(descriptor, size)


def link_or_claim(directory: int, temporary: str, leaf: str, upload_id: str) -> None:
    """Give a file its name only if the name is free; `FileExistsError` if it is not.

    Where the file system has no hard links (FUSE mounts, FAT), the name is claimed with O_EXCL by
    a file that holds our id, which is then replaced; a retry knows its own claim.
    """
    try:
        os.link(temporary, leaf, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not is_claim(directory, leaf, upload_id):
            with closing(open_file(leaf, os.O_WRONLY | os.O_CREAT | os.O_EXCL, directory)) as claim:
                write_all(claim, claim_text(upload_id), None)
                os.fsync(claim)
        os.rename(temporary, leaf, src_dir_fd=directory, dst_dir_fd=directory)


def is_claim(directory: int, leaf: str, upload_id: str) -> bool:
    """Tell whether a name is taken by the claim of this same upload."""
    try:
        with closing(open_file(leaf, os.O_RDONLY | os.O_NONBLOCK, directory)) as file:
            return os.read(file, 256) == claim_text(upload_id)
    except OSError:
        return False


def claim_text(upload_id: str) -> bytes:
    """Return what a claim holds."""
    return f"uploader: the name is taken by upload {upload_id}, which is under way\n".encode()


def make_root(root: str) -> None:
    """Make the directory of all objects, and those above it, durably; again is harmless."""
    os.makedirs(root, exist_ok=True)
    device, way = os.stat(root).st_dev, os.path.abspath(root)
    while way != os.path.dirname(way):
        way = os.path.dirname(way)
        if os.stat(way).st_dev != device:
            return
        try:
            descriptor = os.open(way, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:  # one that may be entered but not read cannot be synced alone
            os.sync()
            return
        with closing(descriptor):
            os.fsync(descriptor)


def try_to_write(root: str) -> None:
    """Make a file in a directory that leaves no trace; raises the `OSError` that forbids it."""
    try:
        os.close(os.open(root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        # A name of its own: one left by a kill must not stand in the way; `sweep` removes it.
        probe = os.path.join(root, temporary_name(secrets.token_hex(16)))
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.unlink(probe)


def is_object(path: str) -> bool:
    """Tell whether a path is something that this store could have made, and has finished."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    return (stat.S_ISREG(mode) or stat.S_ISLNK(mode)) and not is_temporary(os.path.basename(path))


def unlink(leaf: str, directory: int) -> bool:
    """Remove a name; one that is not there is success. Tell whether it was there."""
    try:
        os.unlink(leaf, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def exists(leaf: str, directory: int) -> bool:
    """Tell whether a name exists, as whatever it may be."""
    try:
        os.stat(leaf, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def readlink(leaf: str, directory: int) -> str | None:
    """Return the text of a symlink; None if it is none."""
    try:
        return os.readlink(leaf, dir_fd=directory)
    except OSError:
        return None


def attribute(descriptor: int, key: str) -> str | None:
    """Return one of our extended attributes; None where there is none."""
    try:
        return os.getxattr(descriptor, ATTRIBUTE + key).decode()
    except (OSError, UnicodeDecodeError):
        return None


def has_attributes(descriptor: int) -> bool:
    """Tell whether the file system of an open file keeps extended attributes."""
    try:
        os.getxattr(descriptor, ATTRIBUTE + "upload_id")
    except OSError as error:
        return error.errno == errno.ENODATA  # listing them succeeds also where there can be none
    return True


def temporary_name(upload_id: str) -> str:
    """Return the hidden name under which an upload is written."""
    return TEMPORARY + upload_id


def is_temporary(leaf: str) -> bool:
    """Tell whether a name is such a hidden one."""
    rest = leaf.removeprefix(TEMPORARY)
    return rest != leaf and len(rest) == ID_LENGTH and all(c in "0123456789abcdef" for c in rest)
