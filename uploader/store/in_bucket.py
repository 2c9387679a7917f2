"""Do what is the same in every bucket: names below a prefix, links that are objects, removal."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from uploader.errors import ConflictError, NotFoundError, PermanentError, TransientError
from uploader.model import PutMode, SymlinkMode
from uploader.store.lookahead import Lookahead
from uploader.store.names import FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uploader.model import Receipt
    from uploader.store.base import ObjectInfo, ObjectMeta
    from uploader.store.names import Condition, Names


class InBucket(abc.ABC):
    """The objects below one prefix of a bucket; see `ObjectStore` for each method."""

    symlink_modes = (SymlinkMode.POINTER, SymlinkMode.COPY)

    def __init__(self, names: Names, where: str) -> None:
        """Know whose a name is by `names`; `where` is the URL of the prefix."""
        self._names = names
        self._where = where
        self._lookahead = Lookahead(self._few_names)

    @abc.abstractmethod
    def _remove(self, key: str, condition: Condition) -> None:
        """Remove an object, if the condition holds."""

    @abc.abstractmethod
    def _few_names(self, begin: str, most: int) -> set[str] | None:
        """Return the names that begin so; None if there are more than `most`."""

    def symlink(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """See `ObjectStore.symlink`: there are none."""
        del target, mode, meta
        msg = f"{name}: an object store has no native symlinks; use pointer or copy"
        raise PermanentError(msg)

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`: what is there now, and nothing that has the name later."""
        try:
            guarded = self._names.can.conditional_delete
            guard = self._names.guard(name, PutMode.OVERWRITE) if guarded else None
            if guard != FREE:
                self._remove(self.full_name(name), guard)
        except NotFoundError:
            return
        except ConflictError as error:
            msg = f"{name} was replaced by another at the same moment"
            raise TransientError(msg) from error

    def absent(self, names: Sequence[str]) -> set[str]:
        """See `ObjectStore.absent`."""
        return self._lookahead.absent(names)

    def head(self, name: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return self._names.head(name)

    def full_name(self, name: str) -> str:
        """See `ObjectStore.full_name`."""
        return self._names.key(name)

    def artifact_name(self, full_name: str) -> str:
        """See `ObjectStore.artifact_name`."""
        return self._names.name(full_name, self._where)
