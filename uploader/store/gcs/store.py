"""Store objects in a bucket of Google Cloud Storage, so that every step may be repeated.

- Whatever is written carries `ifGenerationMatch`: 0 for a create, else the generation of what it
  replaces. So the service decides every race, and a request of a killed worker that arrives late is
  refused.
- A refusal is looked into: an object that carries our own upload's id is our own success, whose
  answer was lost.
- A small file is one request; a large one a resumable session (`sessions.py`), a very large one
  many parts at once (`composing.py`).
- The CRC32C of the whole was taken when the artifact was logged. The service compares it before an
  object appears (of one put together: that of each part), and what it reports is compared here.

What no emulator shows, and is done as the documentation says ("Cloud Storage JSON API"): IAM's
refusals, requester pays, KMS keys, storage classes and retention; sessions that end after a week;
composing of different storage classes; `rewrite` between locations.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from uploader import clock
from uploader.errors import (
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    TransientError,
)
from uploader.model import PutMode
from uploader.place import Capabilities
from uploader.store import limits, names, trial
from uploader.store.base import IN_ORDER, ObjectInfo
from uploader.store.gcs import sessions
from uploader.store.gcs.bucket import Bucket
from uploader.store.gcs.composing import FOLDER, Composing
from uploader.store.gcs.probe import Probe, require_access
from uploader.store.gcs.resources import Arguments, crc32c_in, info_of, receipt_of
from uploader.store.gcs.sessions import Session
from uploader.store.http.refused import EndOfObjectError, status_of
from uploader.store.in_bucket import InBucket
from uploader.store.names import is_own, receipt_of_own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.config import Options
    from uploader.model import Part, Receipt, SentPart
    from uploader.place import Place
    from uploader.store.base import Limits, ObjectMeta
    from uploader.store.body import Body
    from uploader.store.names import Condition
    from uploader.store.probe import Probed


class Names(names.Names):
    """The names below one prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str, options: Options, can: Capabilities) -> None:
        """Ask `bucket`; `prefix` ends in a slash, or is empty."""
        super().__init__(prefix, bucket.endpoint, options, can)
        self._bucket = bucket

    def _described(self, name: str) -> ObjectInfo:
        key = self.key(name)
        return info_of(name, self._bucket.get(key), self._bucket.url(key))

    def _described_for_sure(self, name: str) -> ObjectInfo:
        return self._described(name)  # one that was cut off is no JSON


class GCSStore(InBucket):
    """The objects below one prefix of a bucket."""

    def __init__(self, place: Place) -> None:
        """Make a client; nothing is asked yet."""
        destination = place.destination
        self._options = place.options
        self._with = Arguments(place.options)
        self._bucket = Bucket(place, self._with)
        known = place.capabilities
        self._tried = known if known and known.endpoint == self._bucket.endpoint else None
        prefix = f"{destination.path}/" if destination.path else ""
        can = self._tried or Capabilities(self._bucket.endpoint)
        self._names = Names(self._bucket, prefix, place.options, can)
        self._composing = Composing(self._bucket, prefix, self._with)
        super().__init__(self._names, self._bucket.url(prefix))

    @property
    def limits(self) -> Limits:
        """See `ObjectStore.limits`."""
        return limits.of_gcs(self._names.can)

    def prepare(self, *, first: bool) -> Capabilities | None:
        """See `ObjectStore.prepare`: the first time at this endpoint, all is tried."""
        del first
        if self._tried:
            require_access(self._bucket, self._names.prefix, self._with)
            return None
        self.probe().require()
        self._tried = self._names.can
        return self._tried

    def probe(self) -> Probed:
        """See `ObjectStore.probe`."""
        probed = Probe(self._bucket, self._names.prefix, self._with, self._options).run()
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
        resource = self._with.resource(key, meta, body.crc32c)
        try:
            made = self._bucket.insert(resource, body, condition)
        except ConflictError as error:
            return self._names.own_or(error, name, mode, meta)
        except PermanentError as error:
            return self._own_despite(error, name, meta)
        return receipt_of(made, meta, self._bucket.url(key))

    def begin(self, name: str, mode: PutMode, meta: ObjectMeta) -> str:
        """See `ObjectStore.begin`."""
        if meta.size > self.limits.object_max:
            msg = f"{name} has {meta.size} bytes; an object has at most {self.limits.object_max}"
            raise PermanentError(msg)
        if mode is PutMode.CREATE:
            self._names.refuse_existing(name, meta)
        if meta.size >= self.limits.in_order_below:
            return self._composing.begin(meta.upload_id)
        atomic = self._names.can.conditional_complete
        if mode is PutMode.CREATE:
            self._names.require_create(atomic=atomic)
        condition = self._names.guard(name, mode) if atomic else None
        resource = self._with.resource(self.full_name(name), meta, meta.crc32c)
        try:
            uri = self._bucket.start(resource, meta.size, condition)
        except ConflictError as error:
            msg = f"{name} was replaced by another at the same moment"
            raise TransientError(msg) from error  # the next try finds who it was
        return str(Session(uri, meta.size))

    def put_part(self, name: str, session: str, part: Part, body: Body) -> SentPart:
        """See `ObjectStore.put_part`."""
        if not session.startswith(IN_ORDER):
            return self._composing.put_part(session, part, body)
        return sessions.send(self._bucket, self.full_name(name), Session.of(session), part, body)

    def sent_parts(self, name: str, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """See `ObjectStore.sent_parts`."""
        if not session.startswith(IN_ORDER):
            return self._composing.sent_parts(session, recorded)
        key = self.full_name(name)
        return sessions.sent_parts(self._bucket, key, Session.of(session), recorded)

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
        sent = sum(part.size for part in parts)
        if sent != meta.size:
            msg = f"the parts of {name} have {sent} bytes, not {meta.size}"
            raise SessionLostError(msg)
        if session.startswith(IN_ORDER):
            return self._finished(name, Session.of(session), mode, meta, whole)
        receipt = self._composed(name, session, parts, mode, meta)
        self._composing.tidy(session)
        return receipt

    def abort(self, name: str, session: str | None, upload_id: str) -> None:
        """See `ObjectStore.abort`.

        A put leaves nothing, nor does a session that nobody knows of; parts are found by upload.
        """
        if session is None:
            self._composing.remove_all(upload_id)
        elif session.startswith(IN_ORDER):
            sessions.cancel(self._bucket, self.full_name(name), Session.of(session))
        else:
            self._composing.remove(session)

    def copy(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.copy`."""
        if copied := self._names.copied(name, meta):
            return copied
        source = self.head(target)
        meta = replace(meta, size=source.size, crc32c=source.crc32c)
        atomic = self._names.can.conditional_copy
        if mode is PutMode.CREATE:
            self._names.refuse_existing(name, meta)
            self._names.require_create(atomic=atomic)
        condition = self._names.guard(name, mode) if atomic else None
        key = self.full_name(name)
        resource = self._with.resource(key, meta, None)
        try:
            made = self._bucket.rewrite(self.full_name(target), source.etag, resource, condition)
        except ConflictError as error:
            return self._names.copied(name, meta) or self._names.own_or(error, name, mode, meta)
        except NotFoundError as error:
            self.head(target)  # it is gone; or it was replaced
            raise TransientError(f"{target} was replaced while it was copied") from error
        return receipt_of(made, meta, self._bucket.url(key))

    # -- reading --------------------------------------------------------------------------------

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """See `ObjectStore.read`."""
        try:
            yield from self._bucket.portions(self.full_name(name), offset)
        except EndOfObjectError:
            return

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.objects`."""
        for found in self._bucket.list(self._names.prefix + prefix):
            name = found["name"].removeprefix(self._names.prefix)
            if not name.startswith(FOLDER) and not trial.is_probe(name):
                mark = str(found["generation"])
                yield ObjectInfo(name, int(found["size"]), crc32c_in(found), None, mark)

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """See `ObjectStore.sweep`: sessions cannot be listed, and end by themselves."""
        return self._composing.sweep(keep, older_than) + self._sweep_trials(older_than)

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._bucket.close()

    # -- helpers --------------------------------------------------------------------------------

    def _sweep_trials(self, older_than: float) -> list[str]:
        """Remove what trials left that were killed."""
        swept = []
        for found in self._bucket.list(self._names.prefix + trial.PROBE):
            age = clock.now() - found["timeCreated"].timestamp()
            if age >= older_than:
                with suppress(NotFoundError):
                    self._bucket.delete(found["name"], str(found["generation"]))
                swept.append(trial.swept_text(self._bucket.url(found["name"]), age))
        return swept

    def _remove(self, key: str, condition: Condition) -> None:
        self._bucket.delete(key, condition)

    def _finished(
        self, name: str, session: Session, mode: PutMode, meta: ObjectMeta, whole: Body
    ) -> Receipt:
        """Send the last bytes of a session; who was there before us ends it."""
        key = self.full_name(name)
        if mode is PutMode.CREATE and not self._names.can.conditional_complete:
            self._names.refuse_existing(name, meta)
        try:
            made = sessions.complete(self._bucket, key, session, whole)
        except SessionLostError as error:
            return self._names.own_or(error, name, mode, meta)
        except ConflictError as error:
            sessions.cancel(self._bucket, key, session)
            if mode is PutMode.CREATE:
                return self._names.own_or(error, name, mode, meta)
            lost = SessionLostError(f"{name} was replaced by another; it is sent anew")
            return self._names.own_or(lost, name, mode, meta)
        except PermanentError as error:
            return self._own_despite(error, name, meta)
        return receipt_of(made, meta, self._bucket.url(key))

    def _own_despite(self, error: PermanentError, name: str, meta: ObjectMeta) -> Receipt:
        """Return the receipt of an earlier try's object, or raise the refusal to replace it.

        The documentation does not say what is looked at first, the condition or the permission.
        """
        if status_of(error) == HTTPStatus.FORBIDDEN:
            with suppress(StoreError):
                info = self._names.head(name)
                if is_own(info, meta):
                    return receipt_of_own(info, meta)
        raise error

    def _composed(
        self, name: str, session: str, parts: list[SentPart], mode: PutMode, meta: ObjectMeta
    ) -> Receipt:
        key = self.full_name(name)
        resource = self._with.resource(key, meta, None)
        try:
            condition = self._names.guard(name, mode)
            made = self._composing.complete(session, parts, resource, condition)
        except ConflictError as error:
            return self._names.own_or(error, name, mode, meta)
        except NotFoundError as error:
            lost = SessionLostError(f"parts of {name} are gone: {error}")
            return self._names.own_or(lost, name, mode, meta)
        return receipt_of(made, meta, self._bucket.url(key))

    def _few_names(self, begin: str, most: int) -> set[str] | None:
        prefix = self._names.prefix
        found = [one["name"] for one in self._bucket.list(prefix + begin, most + 1)]
        return None if len(found) > most else {key.removeprefix(prefix) for key in found}
