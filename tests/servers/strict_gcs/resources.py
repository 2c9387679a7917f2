"""Make an object's resource: what the API tells of it.

Source: "Objects" in the JSON API's reference.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.servers.strict_gcs.errors import invalid, required

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.strict_gcs.contents import Content

#: What a client may set.
_WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)

_STORAGE_CLASSES = frozenset(
    {
        "STANDARD",
        "NEARLINE",
        "COLDLINE",
        "ARCHIVE",
        "MULTI_REGIONAL",
        "REGIONAL",
        "DURABLE_REDUCED_AVAILABILITY",
    }
)

#: `predefinedAcl` -> who gets in beside the owner.
_ACLS = {
    "authenticatedRead": ("allAuthenticatedUsers", "READER"),
    "bucketOwnerFullControl": ("project-owners-test", "OWNER"),
    "bucketOwnerRead": ("project-owners-test", "READER"),
    "private": None,
    "projectPrivate": ("project-viewers-test", "READER"),
    "publicRead": ("allUsers", "READER"),
}

_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")

#: Bytes of a name in UTF-8.
_NAME_LIMIT = 1024

#: Bytes of all custom metadata of an object, names and values.
_METADATA_LIMIT = 8 * 1024


@dataclasses.dataclass(frozen=True)
class Draft:
    """What is to be an object: where, and what its resource has beside what the content tells."""

    bucket: str
    name: str
    fields: dict[str, Any]


def fields_of(
    resource: Mapping[str, Any], query: Mapping[str, str], prefix: str = ""
) -> dict[str, Any]:
    """Take what a client wants its object's resource to have.

    `prefix` is "destination" where the query's names begin so.

    Raises:
        ApiError: 400, one of it is not valid.
    """
    fields = {key: resource[key] for key in _WRITABLE if resource.get(key) is not None}
    _check(fields)
    key = query.get(_named(prefix, "kmsKeyName")) or resource.get("kmsKeyName")
    if key:
        if not _KMS_KEY.match(key):
            raise invalid(f"Malformed Cloud KMS crypto key: {key}")
        version = "" if "/cryptoKeyVersions/" in key else "/cryptoKeyVersions/1"
        fields["kmsKeyName"] = key + version
    if acl := query.get(_named(prefix, "predefinedAcl")):
        if acl not in _ACLS:
            raise invalid(f"Invalid value for predefinedAcl: {acl}")
        fields["acl"] = _acl_of(acl)
    return fields


def checked_name(name: Any) -> str:
    """Return an object's name if it may be one.

    Raises:
        ApiError: 400.
    """
    if not name or not isinstance(name, str):
        raise required("name")
    if name in {".", ".."} or "\r" in name or "\n" in name:
        raise invalid(f"Invalid object name: {name!r}")
    if len(name.encode()) > _NAME_LIMIT:
        raise invalid("The maximum object name length is 1024 characters when UTF-8 encoded.")
    return name


def made(draft: Draft, generation: int, content: Content) -> dict[str, Any]:
    """Make the resource of a new object."""
    now = timestamp()
    resource = {
        "kind": "storage#object",
        "storageClass": "STANDARD",
        **draft.fields,
        "id": f"{draft.bucket}/{draft.name}/{generation}",
        "bucket": draft.bucket,
        "name": draft.name,
        "generation": str(generation),
        "metageneration": "1",
        "size": str(content.size),
        "crc32c": content.crc32c,
        "timeCreated": now,
        "updated": now,
        "timeStorageClassUpdated": now,
        "timeFinalized": now,
    }
    if content.md5:
        resource["md5Hash"] = content.md5
    if content.components:
        resource["componentCount"] = content.components
    return _with_etag(resource)


def changed(resource: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource after a patch; null removes, metadata is merged key by key.

    Raises:
        ApiError: 400, one of it is not valid.
    """
    after = dict(resource)
    for key in _WRITABLE:
        if key in patch:
            after[key] = _merged(resource.get(key), patch[key])
    after = {key: value for key, value in after.items() if value is not None}
    _check(after)
    after["metageneration"] = str(int(resource["metageneration"]) + 1)
    after["updated"] = timestamp()
    return _with_etag(after)


def shown(resource: Mapping[str, Any], origin: str, *, full: bool = False) -> dict[str, Any]:
    """Add the links that lead back the way the request came; the ACL only if asked for."""
    bucket, name = (quote(str(resource[key]), safe="") for key in ("bucket", "name"))
    path = f"/storage/v1/b/{bucket}/o/{name}"
    told = {key: value for key, value in resource.items() if full or key != "acl"}
    told["selfLink"] = f"{origin}{path}"
    generation = resource["generation"]
    told["mediaLink"] = f"{origin}/download{path}?generation={generation}&alt=media"
    return told


def timestamp() -> str:
    """Tell the time as the API does."""
    now = dt.datetime.now(dt.timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with_etag(resource: dict[str, Any]) -> dict[str, Any]:
    stamp = f"{resource['generation']}/{resource['metageneration']}"
    return {**resource, "etag": base64.b64encode(stamp.encode()).decode()}


def _check(draft: Mapping[str, Any]) -> None:
    if draft.get("storageClass", "STANDARD") not in _STORAGE_CLASSES:
        raise invalid(f"Invalid storage class: {draft['storageClass']}")
    metadata = draft.get("metadata", {})
    if not isinstance(metadata, dict):
        raise invalid("metadata is not an object")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("Values of metadata are strings")
    if sum(len(key.encode()) + len(text.encode()) for key, text in metadata.items()) > (
        _METADATA_LIMIT
    ):
        raise invalid("The maximum size of the metadata is 8192 bytes")


def _merged(before: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    merged = {**(before or {}), **change}
    return {key: value for key, value in merged.items() if value is not None}


def _acl_of(predefined: str) -> list[dict[str, str]]:
    beside = _ACLS[predefined]
    entries = [("user-owner", "OWNER"), *([beside] if beside else [])]
    return [{"kind": "storage#objectAccessControl", "entity": e, "role": r} for e, r in entries]


def _named(prefix: str, name: str) -> str:
    return prefix + name[0].upper() + name[1:] if prefix else name
