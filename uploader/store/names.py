"""Know the names below a prefix: who holds one, and under what condition it may be written.

A condition is for the service to decide, so that no race is lost by accident, and so that a request
of a killed worker that arrives late changes nothing. A refusal is looked into: an object that
carries our own upload's id is our own success, whose answer was lost.
"""

from __future__ import annotations

import abc
from contextlib import suppress
from typing import TYPE_CHECKING

from uploader import clock
from uploader.errors import (
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import ID_LENGTH, MAX_NAME_BYTES, PutMode, Receipt

if TYPE_CHECKING:
    from typing import TypeAlias

    from uploader.config import Options
    from uploader.place import Capabilities
    from uploader.store.base import ObjectInfo, ObjectMeta

#: The mark (`ObjectInfo.etag`) of the object that may be replaced, or `FREE`; None: there is none.
Condition: TypeAlias = "str | None"
FREE = "*"  #: the condition that nothing has the name


class Names(abc.ABC):
    """The names below one prefix of a bucket."""

    def __init__(self, prefix: str, endpoint: str, options: Options, can: Capabilities) -> None:
        """Know nothing yet; `prefix` ends in a slash, or is empty."""
        self.prefix = prefix
        self.can = can
        self._endpoint, self._options = endpoint, options

    @abc.abstractmethod
    def _described(self, name: str) -> ObjectInfo:
        """Ask the service about an object; `NotFoundError` if there is none."""

    @abc.abstractmethod
    def _described_for_sure(self, name: str) -> ObjectInfo:
        """Ask so that no answer that was cut off passes for a whole one."""

    def key(self, name: str) -> str:
        """Return the key of a name."""
        return self.prefix + name

    def name(self, key: str, where: str) -> str:
        """Return the name of a key; `NotFoundError` if it is not below the prefix, `where`."""
        if not key.startswith(self.prefix):
            raise NotFoundError(f"{key} is not below {where}")
        return key.removeprefix(self.prefix)

    def head(self, name: str) -> ObjectInfo:
        """Return what the service says about a name; what is too long for a key is not there."""
        if len(self.key(name).encode()) > MAX_NAME_BYTES:
            raise NotFoundError(f"{name[:80]}...: no object has so long a name")
        return self._described(name)

    def condition(
        self, name: str, mode: PutMode, meta: ObjectMeta
    ) -> tuple[Condition, Receipt | None]:
        """Return under what condition the name may be written, or the receipt if it was already."""
        if mode is PutMode.CREATE:
            if not self.can.conditional_put:
                self.require_create(atomic=False)
                self.refuse_existing(name, meta)
                return None, None
            return FREE, None
        if not self.can.conditional_replace:
            return None, None
        try:
            info = self.head(name)
        except NotFoundError:
            return FREE if self.can.conditional_put else None, None
        if is_own(info, meta):
            return None, receipt_of_own(info, meta)
        return info.etag, None

    def guard(self, name: str, mode: PutMode) -> Condition:
        """Return the condition under which a request changes what it was meant to change."""
        if mode is PutMode.CREATE:
            return FREE
        if not self.can.conditional_replace:
            return None
        try:
            return self.head(name).etag
        except NotFoundError:
            return FREE

    def refuse_existing(self, name: str, meta: ObjectMeta) -> None:
        """Find a conflict before the bytes are sent, not after."""
        try:
            info = self._standing(name, meta)
        except NotFoundError:
            return
        if info.upload_id != meta.upload_id:
            raise _conflict(name)

    def copied(self, name: str, meta: ObjectMeta) -> Receipt | None:
        """Return the receipt of a copy that an earlier try made; the target may be another now."""
        with suppress(NotFoundError):
            info = self.head(name)
            if info.upload_id == meta.upload_id:
                return Receipt(info.etag, info.size, info.crc32c, clock.now(), info.version)
        return None

    def require_create(self, *, atomic: bool) -> None:
        """Refuse to create by looking and then putting, unless that was asked for."""
        if not atomic and not self._options.allow_unsafe_create:
            msg = (
                f"{self._endpoint} does not honour create-only requests: between a look and a put "
                "another's object could be replaced. Log it with overwrite, or accept that: "
                "--allow-unsafe-create (see: uploader check)"
            )
            raise PermanentError(msg)

    def own_or(self, error: Exception, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """Return the receipt of an object that this same upload has made, or raise what is so."""
        try:
            info = self._standing(name, meta)
        except NotFoundError:
            if isinstance(error, SessionLostError):
                raise error from None
            msg = f"{name}: what was in the way is gone"
            raise TransientError(msg) from error
        if info.upload_id == meta.upload_id:
            return receipt_of_own(info, meta)
        if isinstance(error, SessionLostError):
            raise error
        if mode is PutMode.OVERWRITE:
            msg = f"{name} was replaced by another at the same moment"
            raise TransientError(msg) from error
        raise _conflict(name) from error

    def _standing(self, name: str, meta: ObjectMeta) -> ObjectInfo:
        """Describe what has the name; what speaks against its being our own is made sure of."""
        info = self.head(name)
        another = info.upload_id != meta.upload_id and len(info.upload_id or "") == ID_LENGTH
        if another or is_own(info, meta):
            return info
        return self._described_for_sure(name)


def is_own(info: ObjectInfo, meta: ObjectMeta) -> bool:
    """Tell whether an object is the one that this very upload makes."""
    same = info.crc32c == meta.crc32c or None in (info.crc32c, meta.crc32c)
    return info.upload_id == meta.upload_id and info.size == meta.size and same


def receipt_of_own(info: ObjectInfo, meta: ObjectMeta) -> Receipt:
    """Return the receipt of an object that an earlier try has made.

    Raises:
        PermanentError: it has the upload's id and other bytes.
    """
    if not is_own(info, meta):
        msg = f"{info.name} is of this upload, but not its bytes: remove it, then `uploader retry`"
        raise PermanentError(msg)
    return Receipt(info.etag, info.size, meta.crc32c, clock.now(), info.version)


def _conflict(name: str) -> ConflictError:
    return ConflictError(f"{name} already exists, but overwrite was set to False")
