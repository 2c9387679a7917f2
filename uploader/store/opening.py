"""Open the store that a destination URL names; each SDK is loaded only when its store is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader import url
from uploader.store.local import LIMITS as LOCAL_LIMITS
from uploader.store.local import LocalStore

if TYPE_CHECKING:
    from uploader.store.base import Limits, ObjectStore

_LIMITS = {"file": LOCAL_LIMITS}


def open_store(destination: str) -> ObjectStore:
    """Return a store of this process's own for a destination URL.

    With `UPLOADER_FAULTS` set, its faults are injected: for rehearsals and tests.
    """
    parsed = url.parse(destination)
    from uploader.store.testing.faulty import with_faults

    return with_faults(LocalStore(parsed.path))


def limits_of(destination: str) -> Limits:
    """Return what sizes the store of a URL takes, without opening it."""
    return _LIMITS[url.parse(destination).scheme]
