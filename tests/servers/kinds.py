"""Name what a request asks of a bucket, and why it may be refused, whatever the protocol."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(str, enum.Enum):
    """What is asked for; equal to its plain string. `Kind(...)` of a misspelt one raises.

    S3's operation, or GCS's method, stands beside those whose names differ.
    """

    PUT = "put"  #: a whole object in one request: PutObject; a multipart or media upload
    BEGIN = "begin"  #: CreateMultipartUpload; the start of a resumable session
    PART = "part"  #: UploadPart; a request of a session that leaves bytes to come
    COMPLETE = "complete"  #: CompleteMultipartUpload; the request of a session with its last byte
    STATUS = "status"  #: what of a session is there: ListParts; `Content-Range: bytes */TOTAL`
    ABORT = "abort"  #: AbortMultipartUpload; DELETE of a session
    COPY = "copy"  #: CopyObject; rewrite, once for each of its calls
    COMPOSE = "compose"  #: GCS only
    PART_COPY = "part-copy"  #: UploadPartCopy; S3 only
    HEAD = "head"  #: HeadObject; an object's resource
    READ = "read"  #: GetObject; `alt=media`
    PATCH = "patch"  #: GCS only
    ATTRIBUTES = "attributes"  #: GetObjectAttributes; S3 only
    DELETE = "delete"
    DELETE_MANY = "delete-many"  #: DeleteObjects; a batch
    LIST = "list"
    LIST_UNFINISHED = "list-unfinished"  #: ListMultipartUploads; S3 only
    LIST_VERSIONS = "list-versions"  #: ListObjectVersions; S3 only
    LIST_BUCKETS = "list-buckets"
    HEAD_BUCKET = "head-bucket"
    PERMISSIONS = "permissions"  #: testIamPermissions; GCS only
    LOCATION = "location"  #: GetBucketLocation; S3 only
    CREATE_BUCKET = "create-bucket"
    DELETE_BUCKET = "delete-bucket"
    OTHER = "other"

    __str__ = str.__str__


class Refusal(enum.Enum):
    """Why a service refuses. Each protocol has its own status and word for it."""

    INTERNAL = enum.auto()  #: its own fault; it may pass
    THROTTLED = enum.auto()  #: too many requests
    EXPIRED = enum.auto()  #: credentials that were good before
    DENIED = enum.auto()  #: it will not do that for these credentials


@dataclass(frozen=True)
class Told:
    """What a request's head tells of it.

    Attributes:
        key: "" if the head names none; GCS is told the name of an upload in its body.
        part: S3's part number, GCS's offset; None where there is none.
        session: the session that the request belongs to, "" if to none.
    """

    kind: Kind
    bucket: str
    key: str
    part: int | None = None
    session: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
