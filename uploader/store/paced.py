"""Wrap a store so that it sends no faster than a pace allows.

What a store sends of its own accord (a few bytes, to try the service out), what it copies on its
own side, and reading are not held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from uploader.store.body import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.model import Part, PutMode, Receipt, SentPart
    from uploader.store.base import ObjectMeta, ObjectStore
    from uploader.store.pace import Pace


@dataclass(frozen=True, kw_only=True)
class PacedBody(Body):
    """A body whose bytes come no sooner than they may be sent; each time that it is sent."""

    pace: Pace

    @classmethod
    def of(cls, body: Body, pace: Pace) -> PacedBody:
        """Return the same bytes, held to `pace`."""
        return cls(body.path, body.offset, body.size, body.crc32c, body.inline, pace=pace)

    def chunks(self) -> Iterator[bytes]:
        """See `Body.chunks`."""
        for portion in self.read(self.pace.portion):
            self.pace.take(len(portion))
            yield portion


class PacedStore:
    """A store with the same interface that takes its time to send."""

    def __init__(self, store: ObjectStore, pace: Pace) -> None:
        """Wrap `store`."""
        self._store = store
        self._pace = pace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, name: str, body: Body, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.put`."""
        return self._store.put(name, PacedBody.of(body, self._pace), mode, meta)

    def put_part(self, name: str, session: str, part: Part, body: Body) -> SentPart:
        """See `ObjectStore.put_part`."""
        return self._store.put_part(name, session, part, PacedBody.of(body, self._pace))


def with_pace(store: ObjectStore, pace: Pace | None) -> ObjectStore:
    """Return `store`, wrapped if there is a pace to keep."""
    return store if pace is None else cast("ObjectStore", PacedStore(store, pace))
