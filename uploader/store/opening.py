"""Open the store that a destination URL names; each SDK is loaded only when its store is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from uploader.store.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from uploader.place import Place
    from uploader.store.base import Limits, ObjectStore


def open_store(place: Place) -> ObjectStore:
    """Return a store of this process's own for a destination.

    With `UPLOADER_FAULTS` set, its faults are injected: for rehearsals and tests.

    Raises:
        AuthError, PermanentError: it cannot even be opened: no such profile, no such file.
    """
    from uploader.store.testing.faulty import with_faults

    return with_faults(_OPENERS[place.destination.scheme](place))


def limits_of(place: Place) -> Limits:
    """Return what sizes the store of a destination takes, without opening it."""
    return LIMITS[place.destination.scheme](place.capabilities)


def home_of(place: Place) -> str:
    """Return the module whose import makes openings quick in processes forked after it."""
    return _HOMES[place.destination.scheme](place)


def _open_local(place: Place) -> ObjectStore:
    from uploader.store.local import LocalStore

    return LocalStore(place.destination.path)


def _open_s3(place: Place) -> ObjectStore:
    from uploader.store.s3.store import S3Store

    return S3Store(place)


def _open_gcs(place: Place) -> ObjectStore:
    from uploader.store.gcs.store import GCSStore

    return GCSStore(place)


def _home_of_s3(place: Place) -> str:
    from uploader.store.s3.way import needs_sdk

    sdk_too = needs_sdk(place, os.environ)
    return "uploader.store.s3.warm" if sdk_too else "uploader.store.s3.ready"


_OPENERS = {"file": _open_local, "s3": _open_s3, "gs": _open_gcs}
_HOMES: dict[str, Callable[[Place], str]] = {
    "file": lambda _: "uploader.store.local",
    "s3": _home_of_s3,
    "gs": lambda _: "uploader.store.gcs.store",
}
