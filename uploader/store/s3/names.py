"""Know the names below a prefix: who holds one, and under what condition it may be written."""

from __future__ import annotations

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
from uploader.store.s3.answers import info_of, is_own, receipt_of_own

if TYPE_CHECKING:
    from uploader.config import Options
    from uploader.place import Capabilities
    from uploader.store.base import ObjectInfo, ObjectMeta
    from uploader.store.s3.arguments import Arguments
    from uploader.store.s3.bucket import Bucket


class Names:
    """The names below one prefix of a bucket."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        arguments: Arguments,
        options: Options,
        can: Capabilities,
    ) -> None:
        """Ask `bucket`; `prefix` ends in a slash, or is empty."""
        self.bucket, self.prefix, self.arguments = bucket, prefix, arguments
        self.can = can
        self._options = options

    def key(self, name: str) -> str:
        """Return the key of a name."""
        return self.prefix + name

    def head(self, name: str) -> ObjectInfo:
        """Return what the service says about a name; what is too long for a key is not there."""
        if len(self.key(name).encode()) > MAX_NAME_BYTES:
            raise NotFoundError(f"{name[:80]}...: no object has so long a name")
        return info_of(name, self.bucket.head(self.key(name), **self.arguments.of_bytes))

    def condition(
        self, name: str, mode: PutMode, meta: ObjectMeta
    ) -> tuple[dict[str, str], Receipt | None]:
        """Return under what condition the name may be written, or the receipt if it was already."""
        if mode is PutMode.CREATE:
            if not self.can.conditional_put:
                self.require_create(atomic=False)
                self.refuse_existing(name, meta)
                return {}, None
            return {"IfNoneMatch": "*"}, None
        if not self.can.conditional_replace:
            return {}, None
        try:
            info = self.head(name)
        except NotFoundError:
            return {"IfNoneMatch": "*"} if self.can.conditional_put else {}, None
        if is_own(info, meta):
            return {}, receipt_of_own(info, meta)
        return {"IfMatch": f'"{info.etag}"'}, None

    def guard(self, name: str, mode: PutMode) -> dict[str, str]:
        """Return the condition under which a request changes what it was meant to change, or none.

        A request of a killed worker may arrive after a newer version is there.
        """
        if mode is PutMode.CREATE:
            return {"IfNoneMatch": "*"}
        if not self.can.conditional_replace:
            return {}
        try:
            return {"IfMatch": f'"{self.head(name).etag}"'}
        except NotFoundError:
            return {"IfNoneMatch": "*"}

    def refuse_existing(self, name: str, meta: ObjectMeta) -> None:
        """Find a conflict before the bytes are sent, not after."""
        try:
            info = self._standing(name, meta)
        except NotFoundError:
            return
        if info.upload_id != meta.upload_id:
            raise _conflict(name)

    def _standing(self, name: str, meta: ObjectMeta) -> ObjectInfo:
        """Describe what has the name; what speaks against its being our own is made sure of."""
        info = self.head(name)
        another = info.upload_id != meta.upload_id and len(info.upload_id or "") == ID_LENGTH
        if another or is_own(info, meta):
            return info
        key = self.key(name)
        return info_of(name, self.bucket.head_whole(key, **self.arguments.of_bytes))

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
                f"{self.bucket.endpoint} does not honour If-None-Match: between a look and a put "
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


def _conflict(name: str) -> ConflictError:
    return ConflictError(f"{name} already exists, but overwrite was set to False")
