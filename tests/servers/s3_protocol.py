"""Tell what an S3 request is, from its head alone, and refuse one as S3 does.

- The kind comes from method, path, query and `x-amz-copy-source`, as a server dispatches it; not
  from `x-id`, which only some SDKs send. Source: Amazon S3 API Reference, "API Operations".
- Buckets are read from the path: clients of 127.0.0.1 have no other way to name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.servers.kinds import Kind, Refusal, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA = "x-amz-meta-"

#: Status and code. Source: Amazon S3 API Reference, "List of error codes".
REFUSALS = {
    Refusal.INTERNAL: (500, "InternalError"),
    Refusal.THROTTLED: (503, "SlowDown"),
    Refusal.EXPIRED: (400, "ExpiredToken"),
    Refusal.DENIED: (403, "AccessDenied"),
}

#: (where, method, the query's word or "" for none of them) -> kind.
_KINDS = {
    ("object", "PUT", ""): Kind.PUT,
    ("object", "PUT", "copy"): Kind.COPY,
    ("object", "PUT", "uploadId"): Kind.PART,
    ("object", "PUT", "uploadId copy"): Kind.PART_COPY,
    ("object", "POST", "uploads"): Kind.BEGIN,
    ("object", "POST", "uploadId"): Kind.COMPLETE,
    ("object", "DELETE", "uploadId"): Kind.ABORT,
    ("object", "DELETE", ""): Kind.DELETE,
    ("object", "GET", "uploadId"): Kind.STATUS,
    ("object", "GET", "attributes"): Kind.ATTRIBUTES,
    ("object", "GET", ""): Kind.READ,
    ("object", "HEAD", ""): Kind.HEAD,
    ("bucket", "GET", "uploads"): Kind.LIST_UNFINISHED,
    ("bucket", "GET", "versions"): Kind.LIST_VERSIONS,
    ("bucket", "GET", "location"): Kind.LOCATION,
    ("bucket", "GET", ""): Kind.LIST,
    ("bucket", "HEAD", ""): Kind.HEAD_BUCKET,
    ("bucket", "POST", "delete"): Kind.DELETE_MANY,
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

_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>{code}</Code><Message>{code}, says the proxy.</Message>"
    "<RequestId>PROXY{number:011}</RequestId><HostId>proxy</HostId></Error>"
)


def told(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Told:
    """Read a request's head; `path` is as it came, `query` and the headers' names are decoded."""
    bucket, _, key = unquote(path)[1:].partition("/")
    where = "object" if key else "bucket" if bucket else "service"
    words = sorted(_WORDS & query.keys())
    if method == "PUT" and "x-amz-copy-source" in headers:
        words.append("copy")
    return Told(
        _KINDS.get((where, method, " ".join(words)), Kind.OTHER),
        bucket,
        key,
        int(query["partNumber"]) if query.get("partNumber") else None,
        query.get("uploadId", ""),
        {
            name.removeprefix(METADATA): value
            for name, value in headers.items()
            if name.startswith(METADATA)
        },
    )


def error(status: int, code: str, number: int) -> tuple[list[str], bytes]:
    """Return the headers and the body of an error."""
    del status
    headers = [f"x-amz-request-id: PROXY{number:011}", "Content-Type: application/xml"]
    return headers, _ERROR.format(code=code, number=number).encode()
