"""Name every way in which the uploader can fail, by what the caller does next.

    UploaderError
    ├── SpoolError                    the local side: nothing was accepted, or nothing can be read
    │   ├── NotASpoolError            the directory holds no spool
    │   ├── SpoolDamagedError         the database cannot be read; nothing is deleted
    │   ├── SpoolVersionError         written by a newer version of this program
    │   ├── DestinationMismatchError  the spool belongs to another destination URL
    │   ├── SpoolBusyError            another supervisor owns the spool
    │   ├── SpoolFullError            (OSError) no room; nothing was spooled
    │   └── SourceChangedError        (OSError) the source was written to under the copy
    ├── UploadFailedError             an upload that was waited for ended dead, or was cancelled
    └── StoreError                    the remote side; `error_class` says what the schedule does
        ├── TransientError            try again, with back-off
        │   ├── ThrottledError        try again, and ask for less at a time
        │   └── SessionLostError      the store forgot an upload in parts: it begins again
        ├── AuthError                 try again with new credentials; attempts are not used up
        ├── PermanentError            trying again is of no use: dead letter
        │   └── NotFoundError         (FileNotFoundError) no such object
        ├── ConflictError             somebody else's object has the name: dead letter
        └── DamagedError              the spooled bytes are not those that were logged: never sent

Errors are classified once, where they arise: in a store at its edge, in the spool at the call.
"""

from __future__ import annotations

import errno
import re
from enum import Enum

#: What a person can do about an error of the system that is no fault of the file it names.
_ADVICE = {
    errno.ENOSPC: "free space, or inodes (df, df -i)",
    errno.EDQUOT: "free space: the disk quota is used up (quota)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "the machine's limit on open files is reached (sysctl fs.file-max)",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u), or of the container (pids.max)",
    errno.ENOMEM: "there is too little memory, or a limit on it (ulimit -v)",
    errno.EROFS: "its file system is mounted read-only: see why (dmesg), and mount it again",
    errno.EIO: "the disk failed: see the kernel's messages (dmesg)",
}

_PASSWORD = re.compile(r"(://)[^/@\s\"']+@")


def without_passwords(text: str) -> str:
    """Return a text in which no URL has a user or a password: an endpoint's, or a proxy's."""
    return _PASSWORD.sub(r"\1...@", text)


def advice(error: OSError) -> str | None:
    """Return what to do about a limit or a fault of the machine; None if it is something else."""
    return None if isinstance(error, UploaderError) else _ADVICE.get(error.errno or 0)


class ErrorClass(str, Enum):
    """What the schedule does with a failed attempt."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    AUTH = "auth"
    PERMANENT = "permanent"
    CONFLICT = "conflict"
    DAMAGED = "damaged"


class UploaderError(Exception):
    """Any error that this package raises on purpose."""


class SpoolError(UploaderError):
    """The spool refused, or could not be read."""


class NotASpoolError(SpoolError):
    """The directory holds no spool."""


class SpoolDamagedError(SpoolError):
    """The spool's database cannot be read. Nothing in it was touched."""


class SpoolVersionError(SpoolError):
    """The spool was written by a newer version of this program."""


class DestinationMismatchError(SpoolError):
    """The spool uploads to another destination than the one asked for."""


class SpoolBusyError(SpoolError):
    """Another supervisor owns the spool."""


class SpoolFullError(SpoolError, OSError):
    """The spool's limit or its disk has no room for the artifact. Nothing was spooled."""

    def __init__(self, message: str) -> None:
        """Carry ENOSPC, so that code that handles a full disk handles this too."""
        OSError.__init__(self, errno.ENOSPC, message)


class SourceChangedError(SpoolError, OSError):
    """The source file changed while it was copied: the copy would be a mixture."""

    def __init__(self, path: str, message: str) -> None:
        """Carry EBUSY and the file's path."""
        OSError.__init__(self, errno.EBUSY, message, path)


class UploadFailedError(UploaderError):
    """The upload that was waited for will not arrive by itself."""


class StoreError(UploaderError):
    """A store could not do what it was asked. What it says is stored, logged and shown."""

    error_class = ErrorClass.TRANSIENT

    def __init__(self, *words: object) -> None:
        """Keep the words, but for passwords in URLs, which SDKs and systems repeat."""
        super().__init__(*(without_passwords(one) if type(one) is str else one for one in words))


class TransientError(StoreError):
    """A fault that passes: a timeout, a reset, a server error."""


class ThrottledError(TransientError):
    """The store asks for fewer requests."""

    error_class = ErrorClass.THROTTLED


class SessionLostError(TransientError):
    """The store does not know the session of an upload in parts any more."""


class AuthError(StoreError):
    """Credentials are missing, expired or refused for now."""

    error_class = ErrorClass.AUTH


class PermanentError(StoreError):
    """The request will never succeed as it is."""

    error_class = ErrorClass.PERMANENT


class NotFoundError(PermanentError, FileNotFoundError):
    """There is no object of that name."""


class ConflictError(StoreError):
    """An object of that name exists and is not ours."""

    error_class = ErrorClass.CONFLICT


class DamagedError(StoreError):
    """The bytes do not have the checksum that was taken when they were spooled."""

    error_class = ErrorClass.DAMAGED
