"""Know of some names that they are not there, before they are asked for one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from uploader.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uploader.store.base import ObjectInfo, ObjectStore


class _Foreseeing:
    """A store with the same interface that was asked for some names at once."""

    def __init__(self, store: ObjectStore, absent: set[str]) -> None:
        self._store = store
        self._absent = absent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def head(self, name: str) -> ObjectInfo:
        """See `ObjectStore.head`; what was foreseen counts once: a second try asks anew."""
        if name in self._absent:
            self._absent.discard(name)
            raise NotFoundError(f"{name} is not there")
        return self._store.head(name)


def foreseeing(store: ObjectStore, names: Sequence[str]) -> ObjectStore:
    """Return `store`, knowing of those of `names` that it can tell at once to be absent."""
    absent = store.absent(names)
    return cast("ObjectStore", _Foreseeing(store, absent)) if absent else store
