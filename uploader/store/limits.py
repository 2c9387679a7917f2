"""State what sizes each store takes; known without loading its SDK."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from uploader.place import Capabilities
from uploader.store.base import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL = Limits(
    whole_max=64 << 20,  # a part costs an fsync; below this one request is done within a second
    part_min=1 << 20,
    part_max=1 << 62,
    parts_max=1 << 16,
    object_max=1 << 62,
)

#: "Amazon S3 multipart upload limits" of the S3 user guide; what is whole is ours to choose.
S3 = Limits(
    whole_max=32 << 20,  # two parts' worth: below it the three more requests cost more than a kill
    part_min=5 << 20,
    part_max=5 << 30,
    parts_max=10_000,
    object_max=5 << 40,
)

#: "Quotas and limits" of the Cloud Storage documentation. What is whole, and what goes in parts at
#: once, is ours to choose; `.github/decisions/` has the figures.
GCS = Limits(
    whole_max=32 << 20,
    part_min=1 << 20,
    part_max=5 << 30,
    parts_max=10_000,
    object_max=5 << 40,
    in_order_below=128 << 20,
)


def of_gcs(can: Capabilities | None) -> Limits:
    """Return what GCS takes, or a service that speaks its language and cannot do all of it."""
    can = can or Capabilities()
    if not can.sessions:
        return replace(GCS, whole_max=GCS.object_max)
    return GCS if can.compose else replace(GCS, in_order_below=GCS.object_max + 1)


#: By scheme, from what the service was found to honour.
LIMITS: dict[str, Callable[[Capabilities | None], Limits]] = {
    "file": lambda _: LOCAL,
    "s3": lambda _: S3,
    "gs": of_gcs,
}
