"""Tell what an S3 request is, from its head alone; the record that a test asserts on.

- The kind comes from method, path, query and `x-amz-copy-source`, as a server dispatches it; not
  from `x-id`, which only some SDKs send. Source: Amazon S3 API Reference, "API Operations".
- Buckets are read from the path: clients of 127.0.0.1 have no other way to name them.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(str, enum.Enum):
    """An S3 operation; equal to its plain string. `Kind(...)` of a misspelt one raises."""

    PUT_OBJECT = "PutObject"
    UPLOAD_PART = "UploadPart"
    COPY_OBJECT = "CopyObject"
    UPLOAD_PART_COPY = "UploadPartCopy"
    CREATE_MULTIPART_UPLOAD = "CreateMultipartUpload"
    COMPLETE_MULTIPART_UPLOAD = "CompleteMultipartUpload"
    ABORT_MULTIPART_UPLOAD = "AbortMultipartUpload"
    LIST_PARTS = "ListParts"
    LIST_MULTIPART_UPLOADS = "ListMultipartUploads"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECT_VERSIONS = "ListObjectVersions"
    LIST_BUCKETS = "ListBuckets"
    HEAD_OBJECT = "HeadObject"
    HEAD_BUCKET = "HeadBucket"
    GET_OBJECT = "GetObject"
    GET_OBJECT_ATTRIBUTES = "GetObjectAttributes"
    GET_BUCKET_LOCATION = "GetBucketLocation"
    DELETE_OBJECT = "DeleteObject"
    DELETE_OBJECTS = "DeleteObjects"
    CREATE_BUCKET = "CreateBucket"
    DELETE_BUCKET = "DeleteBucket"
    OTHER = "Other"

    __str__ = str.__str__


#: (where, method, the query's word or "" for none of them) -> kind.
_KINDS = {
    ("object", "PUT", ""): Kind.PUT_OBJECT,
    ("object", "PUT", "copy"): Kind.COPY_OBJECT,
    ("object", "PUT", "uploadId"): Kind.UPLOAD_PART,
    ("object", "PUT", "uploadId copy"): Kind.UPLOAD_PART_COPY,
    ("object", "POST", "uploads"): Kind.CREATE_MULTIPART_UPLOAD,
    ("object", "POST", "uploadId"): Kind.COMPLETE_MULTIPART_UPLOAD,
    ("object", "DELETE", "uploadId"): Kind.ABORT_MULTIPART_UPLOAD,
    ("object", "DELETE", ""): Kind.DELETE_OBJECT,
    ("object", "GET", "uploadId"): Kind.LIST_PARTS,
    ("object", "GET", "attributes"): Kind.GET_OBJECT_ATTRIBUTES,
    ("object", "GET", ""): Kind.GET_OBJECT,
    ("object", "HEAD", ""): Kind.HEAD_OBJECT,
    ("bucket", "GET", "uploads"): Kind.LIST_MULTIPART_UPLOADS,
    ("bucket", "GET", "versions"): Kind.LIST_OBJECT_VERSIONS,
    ("bucket", "GET", "location"): Kind.GET_BUCKET_LOCATION,
    ("bucket", "GET", ""): Kind.LIST_OBJECTS,
    ("bucket", "HEAD", ""): Kind.HEAD_BUCKET,
    ("bucket", "POST", "delete"): Kind.DELETE_OBJECTS,
    ("bucket", "PUT", ""): Kind.CREATE_BUCKET,
    ("bucket", "DELETE", ""): Kind.DELETE_BUCKET,
    ("service", "GET", ""): Kind.LIST_BUCKETS,
}

#: A query that has one of these asks for something else than the object or the list.
_WORDS = frozenset(
    {
        *("accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption"),
        *("intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging"),
        *("metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus"),
        *("publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select"),
        *("tagging", "torrent", "uploadId", "uploads", "versioning", "versions", "website"),
    }
)


@dataclasses.dataclass
class Request:
    """A request that reached the proxy; what is told of its body and answer grows as it goes on.

    Attributes:
        number: its place among all requests, from 1.
        path: decoded, with the bucket.
        query: decoded; a word without a value has the value "".
        headers: names in lower case.
        body_bytes: bytes of the body that came from the client so far, without the framing of a
            chunked one; what was thrown away counts too, as the client did send it.
        status: of the answer that was sent to the client, who may have been gone; None if none was
            sent so far.
        upstream_status: of the server's answer, whether or not the client was given it.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body_bytes: int = 0
    status: int | None = None
    upstream_status: int | None = None

    @classmethod
    def of(cls, number: int, method: str, target: str, headers: Mapping[str, str]) -> Request:
        """Read a request line's target as S3 does."""
        parts = urlsplit(f"//host{target}") if target.startswith("/") else urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(number, method, unquote(parts.path), query, headers)

    @property
    def bucket(self) -> str:
        """The bucket, "" if the request names none."""
        return self.path[1:].partition("/")[0]

    @property
    def key(self) -> str:
        """The object's key, "" if the request names none."""
        return self.path[1:].partition("/")[2]

    @property
    def kind(self) -> Kind:
        """The S3 operation, `Kind.OTHER` if it is none that an uploader has use for."""
        where = "object" if self.key else "bucket" if self.bucket else "service"
        words = sorted(_WORDS & self.query.keys())
        if self.method == "PUT" and "x-amz-copy-source" in self.headers:
            words.append("copy")
        return _KINDS.get((where, self.method, " ".join(words)), Kind.OTHER)
