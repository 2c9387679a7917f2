"""State what sizes each store takes; known without loading its SDK."""

from __future__ import annotations

from uploader.store.base import Limits

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

LIMITS = {"file": LOCAL, "s3": S3}  #: by scheme
