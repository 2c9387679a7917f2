"""Store objects in a bucket, so that every step may be repeated and no race is lost by accident.

- What another upload may have written meanwhile is decided by the service: a create carries
  `If-None-Match: *`, an overwrite says by `If-Match` which object it replaces. So a request of a
  killed worker that arrives late is refused, and cannot put an old version over a newer one.
- A refusal is looked into: an object that carries our own upload's id is our own success, whose
  answer was lost.
- Each part is recorded with its ETag as it arrives; a session that is taken up again goes on with
  what `ListParts` confirms.
- The CRC32C of each request and of the whole object was taken when the artifact was logged. The
  service checks it; one that does not gets a Content-MD5, after the body was read and checked here.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.errors import (
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    TransientError,
)
from uploader.model import ID_LENGTH, MAX_NAME_BYTES, PutMode, Receipt, SentPart, SymlinkMode
from uploader.place import Capabilities
from uploader.store.base import ObjectInfo
from uploader.store.body import CHUNK, Body
from uploader.store.limits import S3
from uploader.store.s3 import arguments, copying, probe, sessions
from uploader.store.s3.bucket import Bucket
from uploader.store.s3.client import make_client
from uploader.store.s3.errors import EndOfObjectError, classified
from uploader.store.s3.reader import md5_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.model import Part
    from uploader.place import Place
    from uploader.store.base import ObjectMeta
    from uploader.store.probe import Probed


class S3Store:
    """The objects below one prefix of a bucket."""

    limits = S3
    symlink_modes = (SymlinkMode.POINTER, SymlinkMode.COPY)

    def __init__(self, place: Place) -> None:
        """Make a client; nothing is asked yet."""
        destination = place.destination
        self._options = place.options
        self._prefix = f"{destination.path}/" if destination.path else ""
        self._with = arguments.Arguments(place.options)
        self._bucket = Bucket(*make_client(place), destination.bucket)
        known = place.capabilities
        self._tried = known is not None and known.endpoint == self._bucket.endpoint
        self._can = known if known and self._tried else Capabilities(self._bucket.endpoint)

    def prepare(self, *, first: bool) -> Capabilities | None:
        """See `ObjectStore.prepare`: the first time at this endpoint, all is tried."""
        del first
        if self._tried:
            probe.require_access(self._bucket, self._prefix, self._with)
            return None
        probed = self.probe()
        probed.require()
        self._tried = True
        return self._can

    def probe(self) -> Probed:
        """See `ObjectStore.probe`."""
        probed = probe.Probe(self._bucket, self._prefix, self._with, self._options).run()
        if probed.capabilities:
            self._can = probed.capabilities
        return probed

    # -- writing --------------------------------------------------------------------------------

    def put(self, name: str, body: Body, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.put`."""
        key = self.full_name(name)
        condition, own = self._condition(name, mode, meta)
        if own:
            return own
        try:
            answer = self._bucket.send(
                "put_object",
                key,
                body,
                **condition,
                **self._checked(body, crc32c=self._can.crc32c),
                **self._with.of_object(meta),
            )
        except (ConflictError, NotFoundError) as error:  # AWS: what If-Match means is not there
            return self._own_or(error, name, mode, meta)
        _require_same(answer, meta.crc32c, self._bucket.url(key))
        return _receipt(answer, meta)

    def begin(self, name: str, mode: PutMode, meta: ObjectMeta) -> str:
        """See `ObjectStore.begin`."""
        if meta.size > self.limits.object_max:
            msg = f"{name} has {meta.size} bytes; an object has at most {self.limits.object_max}"
            raise PermanentError(msg)
        if mode is PutMode.CREATE:
            self._refuse_existing(name, meta)
            self._require_create(atomic=self._can.conditional_complete)
        whole = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
        answer = self._bucket.ask(
            "create_multipart_upload",
            self.full_name(name),
            **(whole if self._can.whole_crc32c else {}),
            **self._with.of_object(meta),
        )
        return str(answer["UploadId"])

    def put_part(self, name: str, session: str, part: Part, body: Body) -> SentPart:
        """See `ObjectStore.put_part`."""
        key = self.full_name(name)
        answer = self._bucket.send(
            "upload_part",
            key,
            body,
            UploadId=session,
            PartNumber=part.number,
            **self._checked(body, crc32c=self._can.whole_crc32c),
            **self._with.of_bytes,
        )
        _require_same(answer, body.crc32c, self._bucket.url(key))
        return SentPart(part.number, part.size, _etag(answer))

    def sent_parts(self, name: str, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """See `ObjectStore.sent_parts`: what was recorded and is there, byte for byte the same."""
        there = sessions.parts_of(self._bucket, self.full_name(name), session, self._with)
        return [part for part in recorded if part in there]

    def complete(
        self, name: str, session: str, parts: list[SentPart], mode: PutMode, meta: ObjectMeta
    ) -> Receipt:
        """See `ObjectStore.complete`."""
        key = self.full_name(name)
        sent = sum(part.size for part in parts)
        if sent != meta.size:
            msg = f"the parts of {name} have {sent} bytes, not {meta.size}"
            raise SessionLostError(msg)
        if mode is PutMode.CREATE and not self._can.conditional_complete:
            self._require_create(atomic=False)
            self._refuse_existing(name, meta)
        create = mode is PutMode.CREATE and self._can.conditional_complete
        checksum = {"ChecksumCRC32C": _base64(meta.crc32c), "ChecksumType": "FULL_OBJECT"}
        try:
            answer = self._bucket.ask(
                "complete_multipart_upload",
                key,
                UploadId=session,
                MultipartUpload={
                    "Parts": [{"PartNumber": part.number, "ETag": part.mark} for part in parts]
                },
                **({"IfNoneMatch": "*"} if create else {}),
                **(checksum if self._can.whole_crc32c and meta.crc32c is not None else {}),
                **self._with.of_bytes,
            )
        except ConflictError as error:
            receipt = self._own_or(error, name, mode, meta)
            self.abort(name, session, meta.upload_id)  # another session made the object
            return receipt
        except SessionLostError as error:
            return self._own_or(error, name, mode, meta)
        _require_same(answer, meta.crc32c, self._bucket.url(key))
        return _receipt(answer, meta)

    def abort(self, name: str, session: str | None, upload_id: str) -> None:
        """See `ObjectStore.abort`.

        A put leaves nothing. A session that was never recorded has no parts, since none is sent
        before: any such session of this name is aborted. It may be another node's that has just
        begun, which then begins again; it has lost nothing.
        """
        del upload_id
        key = self.full_name(name)
        if session is not None:
            sessions.abort(self._bucket, key, session, self._with)
        else:
            sessions.abort_empty(self._bucket, key, self._with)

    def copy(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.copy`."""
        if copied := self._copied(name, meta):
            return copied
        source = self.head(target)
        meta = replace(meta, size=source.size, crc32c=source.crc32c)
        if mode is PutMode.CREATE:
            self._refuse_existing(name, meta)
        job = copying.Copying(self._bucket, self._with, self._can)
        atomic = job.can_create(source)
        if mode is PutMode.CREATE and not atomic:
            self._require_create(atomic=False)
        create = mode is PutMode.CREATE and atomic
        try:
            receipt = job.run(
                source, self.full_name(target), self.full_name(name), create=create, meta=meta
            )
        except ConflictError as error:
            return self._copied(name, meta) or self._own_or(error, name, mode, meta)
        return receipt

    def symlink(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.symlink`: there are none."""
        del target, mode, meta
        msg = f"{name}: an object store has no native symlinks; use pointer or copy"
        raise PermanentError(msg)

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        self._bucket.ask("delete_object", self.full_name(name), **self._with.of_any)

    # -- reading --------------------------------------------------------------------------------

    def head(self, name: str) -> ObjectInfo:
        """See `ObjectStore.head`: what is too long for a key is not there."""
        if len(self.full_name(name).encode()) > MAX_NAME_BYTES:
            raise NotFoundError(f"{name[:80]}...: no object has so long a name")
        return _info(name, self._bucket.head(self.full_name(name), **self._with.of_bytes))

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        key = self.full_name(name)
        chosen = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = self._bucket.ask("get_object", key, **chosen, **self._with.of_bytes)
        except EndOfObjectError:
            return
        with answer["Body"] as stream:
            while True:
                with classified("GetObject", self._bucket.url(key)):
                    data = stream.read(CHUNK)
                if not data:
                    return
                yield data

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.objects`."""
        pages = self._bucket.pages(
            "list_objects_v2", Prefix=self._prefix + prefix, **self._with.of_any
        )
        for page in pages:
            for found in page.get("Contents", []):
                name = found["Key"].removeprefix(self._prefix)
                if not probe.is_probe(name):
                    yield ObjectInfo(name, found["Size"], None, None, _etag(found))

    def full_name(self, name: str) -> str:
        """See `ObjectStore.full_name`."""
        return self._prefix + name

    def artifact_name(self, full_name: str) -> str:
        """See `ObjectStore.artifact_name`."""
        if not full_name.startswith(self._prefix):
            msg = f"{full_name} is not below {self._bucket.url(self._prefix)}"
            raise NotFoundError(msg)
        return full_name.removeprefix(self._prefix)

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """See `ObjectStore.sweep`."""
        return sessions.sweep(self._bucket, self._prefix, keep, older_than, self._with)

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._bucket.close()

    # -- helpers --------------------------------------------------------------------------------

    def _checked(self, body: Body, *, crc32c: bool) -> dict[str, str]:
        """Return by what the service checks the body of a request."""
        if crc32c and body.crc32c is not None:
            return {"ChecksumCRC32C": _base64(body.crc32c)}
        return {"ContentMD5": md5_of(body)}

    def _condition(
        self, name: str, mode: PutMode, meta: ObjectMeta
    ) -> tuple[dict[str, str], Receipt | None]:
        """Return under what condition the name may be written, or the receipt if it was already."""
        if mode is PutMode.CREATE:
            if not self._can.conditional_put:
                self._require_create(atomic=False)
                self._refuse_existing(name, meta)
                return {}, None
            return {"IfNoneMatch": "*"}, None
        if not self._can.conditional_replace:
            return {}, None
        try:
            info = self.head(name)
        except NotFoundError:
            return {"IfNoneMatch": "*"} if self._can.conditional_put else {}, None
        if _is_own(info, meta):
            return {}, _receipt_of_own(info, meta)
        return {"IfMatch": f'"{info.etag}"'}, None

    def _refuse_existing(self, name: str, meta: ObjectMeta) -> None:
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
        if another or _is_own(info, meta):
            return info
        key = self.full_name(name)
        return _info(name, self._bucket.head_whole(key, **self._with.of_bytes))

    def _copied(self, name: str, meta: ObjectMeta) -> Receipt | None:
        """Return the receipt of a copy that an earlier try made; the target may be another now."""
        with suppress(NotFoundError):
            info = self.head(name)
            if info.upload_id == meta.upload_id:
                return Receipt(info.etag, info.size, info.crc32c, clock.now(), info.version)
        return None

    def _require_create(self, *, atomic: bool) -> None:
        """Refuse to create by looking and then putting, unless that was asked for."""
        if not atomic and not self._options.allow_unsafe_create:
            msg = (
                f"{self._bucket.endpoint} does not honour If-None-Match: between a look and a put "
                "another's object could be replaced. Log it with overwrite, or accept that: "
                "--allow-unsafe-create (see: uploader check)"
            )
            raise PermanentError(msg)

    def _own_or(self, error: Exception, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """Return the receipt of an object that this same upload has made, or raise what is so."""
        try:
            info = self._standing(name, meta)
        except NotFoundError:
            if isinstance(error, SessionLostError):
                raise error from None
            msg = f"{name}: what was in the way is gone"
            raise TransientError(msg) from error
        if info.upload_id == meta.upload_id:
            return _receipt_of_own(info, meta)
        if isinstance(error, SessionLostError):
            raise error
        if mode is PutMode.OVERWRITE:
            msg = f"{name} was replaced by another at the same moment"
            raise TransientError(msg) from error
        raise _conflict(name) from error


def _conflict(name: str) -> ConflictError:
    return ConflictError(f"{name} already exists, but overwrite was set to False")


def _base64(value: int | None) -> str:
    return base64.b64encode((value or 0).to_bytes(4, "big")).decode()


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _require_same(answer: dict[str, Any], expected: int | None, url: str) -> None:
    """Compare the checksum that the service reports with that of the spool."""
    reported = answer.get("ChecksumCRC32C")
    if reported and expected is not None and reported != _base64(expected):
        msg = f"{url} arrived damaged: its CRC32C is {reported}, sent was {_base64(expected)}"
        raise TransientError(msg)


def _receipt(answer: dict[str, Any], meta: ObjectMeta) -> Receipt:
    return Receipt(_etag(answer), meta.size, meta.crc32c, clock.now(), answer.get("VersionId"))


def _is_own(info: ObjectInfo, meta: ObjectMeta) -> bool:
    same = info.crc32c == meta.crc32c or None in (info.crc32c, meta.crc32c)
    return info.upload_id == meta.upload_id and info.size == meta.size and same


def _receipt_of_own(info: ObjectInfo, meta: ObjectMeta) -> Receipt:
    if not _is_own(info, meta):
        msg = f"{info.name} is of this upload, but not its bytes: remove it, then `uploader retry`"
        raise PermanentError(msg)
    return Receipt(info.etag, info.size, meta.crc32c, clock.now(), info.version)


def _info(name: str, answer: dict[str, Any]) -> ObjectInfo:
    metadata = {key.lower(): value for key, value in answer.get("Metadata", {}).items()}
    return ObjectInfo(
        name,
        int(answer["ContentLength"]),
        _crc32c_in(answer, metadata),
        metadata.get(arguments.UPLOAD_ID, ""),
        _etag(answer),
        answer.get("VersionId"),
    )


def _crc32c_in(answer: dict[str, Any], metadata: dict[str, str]) -> int | None:
    """Return what the service took itself, else what was sent along for reads to compare."""
    reported = str(answer.get("ChecksumCRC32C", ""))
    if reported and "-" not in reported and answer.get("ChecksumType") != "COMPOSITE":
        return int.from_bytes(base64.b64decode(reported), "big")
    sent_along = metadata.get(arguments.CRC32C, "")
    return int(sent_along, 16) if sent_along else None
