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

from dataclasses import replace
from typing import TYPE_CHECKING

from uploader import clock
from uploader.errors import (
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
)
from uploader.model import PutMode, Receipt, SentPart
from uploader.place import Capabilities
from uploader.store import trial
from uploader.store.base import ObjectInfo
from uploader.store.http.refused import EndOfObjectError
from uploader.store.in_bucket import InBucket
from uploader.store.limits import S3
from uploader.store.s3 import copying, probe, sessions
from uploader.store.s3.answers import base64_of, etag_of, receipt_of, require_same
from uploader.store.s3.arguments import Arguments
from uploader.store.s3.bucket import Bucket
from uploader.store.s3.names import Names, headers_of
from uploader.store.s3.reader import md5_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.model import Part
    from uploader.place import Place
    from uploader.store.base import ObjectMeta
    from uploader.store.body import Body
    from uploader.store.names import Condition
    from uploader.store.probe import Probed


class S3Store(InBucket):
    """The objects below one prefix of a bucket."""

    limits = S3

    def __init__(self, place: Place) -> None:
        """Make a client; nothing is asked yet."""
        destination = place.destination
        self._options = place.options
        self._with = Arguments(place.options)
        self._bucket = Bucket(place)
        known = place.capabilities
        tried = known is not None and known.endpoint == self._bucket.endpoint
        self._tried = known if tried else None
        can = self._tried or Capabilities(self._bucket.endpoint)
        prefix = f"{destination.path}/" if destination.path else ""
        names = Names(self._bucket, prefix, self._with, place.options, can)
        super().__init__(names, self._bucket.url(prefix))

    def prepare(self, *, first: bool) -> Capabilities | None:
        """See `ObjectStore.prepare`: the first time at this endpoint, all is tried."""
        del first
        before = self._tried
        if before:
            probe.require_access(self._bucket, self._names.prefix, self._with)
            self._tried = replace(before, way=self._bucket.way)
        else:
            self.probe().require()
            self._tried = self._names.can
        return None if self._tried == before else self._tried

    def probe(self) -> Probed:
        """See `ObjectStore.probe`."""
        probed = probe.Probe(self._bucket, self._names.prefix, self._with, self._options).run()
        if probed.capabilities:
            self._names.can = probed.capabilities
        return probed

    # -- writing --------------------------------------------------------------------------------

    def put(self, name: str, body: Body, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.put`."""
        key = self.full_name(name)
        condition, own = self._names.condition(name, mode, meta)
        if own:
            return own
        try:
            answer = self._bucket.send(
                "put_object",
                key,
                body,
                **headers_of(condition),
                **self._checked(body, crc32c=self._names.can.crc32c),
                **self._with.of_object(meta),
            )
        except (ConflictError, NotFoundError) as error:  # AWS: what If-Match means is not there
            return self._names.own_or(error, name, mode, meta)
        require_same(answer, meta.crc32c, self._bucket.url(key))
        return receipt_of(answer, meta)

    def begin(self, name: str, mode: PutMode, meta: ObjectMeta) -> str:
        """See `ObjectStore.begin`."""
        if meta.size > self.limits.object_max:
            msg = f"{name} has {meta.size} bytes; an object has at most {self.limits.object_max}"
            raise PermanentError(msg)
        if mode is PutMode.CREATE:
            self._names.refuse_existing(name, meta)
            self._names.require_create(atomic=self._names.can.conditional_complete)
        whole = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
        answer = self._bucket.ask(
            "create_multipart_upload",
            self.full_name(name),
            **(whole if self._names.can.whole_crc32c else {}),
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
            **self._checked(body, crc32c=self._names.can.whole_crc32c),
            **self._with.of_bytes,
        )
        require_same(answer, body.crc32c, self._bucket.url(key))
        return SentPart(part.number, part.size, etag_of(answer))

    def sent_parts(self, name: str, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """See `ObjectStore.sent_parts`: what was recorded and is there, byte for byte the same."""
        there = sessions.parts_of(self._bucket, self.full_name(name), session, self._with)
        return [part for part in recorded if part in there]

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
        key = self.full_name(name)
        sent = sum(part.size for part in parts)
        if sent != meta.size:
            msg = f"the parts of {name} have {sent} bytes, not {meta.size}"
            raise SessionLostError(msg)
        if mode is PutMode.CREATE and not self._names.can.conditional_complete:
            self._names.require_create(atomic=False)
            self._names.refuse_existing(name, meta)
        condition = self._names.guard(name, mode) if self._names.can.conditional_complete else None
        checksum = {"ChecksumCRC32C": base64_of(meta.crc32c), "ChecksumType": "FULL_OBJECT"}
        try:
            answer = self._bucket.ask(
                "complete_multipart_upload",
                key,
                UploadId=session,
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": part.number, "ETag": f'"{part.mark}"'} for part in parts
                    ]
                },
                **headers_of(condition),
                **(checksum if self._names.can.whole_crc32c and meta.crc32c is not None else {}),
                **self._with.of_bytes,
            )
        except ConflictError as error:
            receipt = self._names.own_or(error, name, mode, meta)
            self.abort(name, session, meta.upload_id)  # another session made the object
            return receipt
        except SessionLostError as error:
            return self._names.own_or(error, name, mode, meta)
        require_same(answer, meta.crc32c, self._bucket.url(key))
        return receipt_of(answer, meta)

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
        if copied := self._names.copied(name, meta):
            return copied
        source = self.head(target)
        meta = replace(meta, size=source.size, crc32c=source.crc32c)
        if mode is PutMode.CREATE:
            self._names.refuse_existing(name, meta)
        job = copying.Copying(self._bucket, self._with, self._names.can)
        atomic = job.can_create(source)
        if mode is PutMode.CREATE and not atomic:
            self._names.require_create(atomic=False)
        condition = headers_of(self._names.guard(name, mode) if atomic else None)
        try:
            receipt = job.run(
                source, self.full_name(target), self.full_name(name), condition=condition, meta=meta
            )
        except ConflictError as error:
            return self._names.copied(name, meta) or self._names.own_or(error, name, mode, meta)
        return receipt

    # -- reading --------------------------------------------------------------------------------

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        key = self.full_name(name)
        chosen = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = self._bucket.ask("get_object", key, **chosen, **self._with.of_bytes)
        except EndOfObjectError:
            return
        yield from self._bucket.portions(key, answer)

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.objects`."""
        pages = self._bucket.pages(
            "list_objects_v2", Prefix=self._names.prefix + prefix, **self._with.of_any
        )
        for page in pages:
            for found in page.get("Contents", []):
                name = found["Key"].removeprefix(self._names.prefix)
                if not trial.is_probe(name):
                    yield ObjectInfo(name, found["Size"], None, None, etag_of(found))

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """See `ObjectStore.sweep`."""
        swept = sessions.sweep(self._bucket, self._names.prefix, keep, older_than, self._with)
        return swept + self._sweep_trials(older_than)

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._bucket.close()

    # -- helpers --------------------------------------------------------------------------------

    def _sweep_trials(self, older_than: float) -> list[str]:
        """Remove what trials left that were killed."""
        begin, swept = self._names.prefix + trial.PROBE, []
        for page in self._bucket.pages("list_objects_v2", Prefix=begin, **self._with.of_any):
            for found in page.get("Contents", []):
                age = clock.now() - found["LastModified"].timestamp()
                if age >= older_than:
                    self._remove(found["Key"], None)
                    swept.append(trial.swept_text(self._bucket.url(found["Key"]), age))
        return swept

    def _remove(self, key: str, condition: Condition) -> None:
        self._bucket.ask("delete_object", key, **headers_of(condition), **self._with.of_any)

    def _few_names(self, begin: str, most: int) -> set[str] | None:
        prefix = self._names.prefix
        answer = self._bucket.ask(
            "list_objects_v2", Prefix=prefix + begin, MaxKeys=most, **self._with.of_any
        )
        if str(answer.get("IsTruncated")).lower() != "false":
            return None
        return {found["Key"].removeprefix(prefix) for found in answer.get("Contents", [])}

    def _checked(self, body: Body, *, crc32c: bool) -> dict[str, str]:
        """Return by what the service checks the body of a request."""
        if crc32c and body.crc32c is not None:
            return {"ChecksumCRC32C": base64_of(body.crc32c)}
        return {"ContentMD5": md5_of(body)}
