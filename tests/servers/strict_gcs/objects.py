"""Handle `/storage/v1/b`: buckets, and objects read, listed, changed, removed."""

from __future__ import annotations

import base64
import bisect
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs import resources
from tests.servers.strict_gcs.conditions import Conditions
from tests.servers.strict_gcs.errors import invalid, no_object, required
from tests.servers.strict_gcs.ranges import wanted_range
from tests.servers.strict_gcs.service import in_json, read_json
from tests.servers.strict_gcs.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.strict_gcs.catalogue import Bucket, Stored
    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.wire import Request

#: Objects in one answer to a list, unless fewer are asked for.
_PAGE = 1000


def insert_bucket(service: Service, request: Request) -> Answer:
    """Make a bucket."""
    service.allow("storage.buckets.create")
    resource = read_json(request.body.read())
    name = resource.get("name")
    if not name:
        raise required("name")
    now = resources.timestamp()
    told = {"kind": "storage#bucket", "location": "US", "storageClass": "STANDARD", **resource}
    told |= {"id": name, "metageneration": "1", "etag": "CAE=", "timeCreated": now, "updated": now}
    return in_json(service.catalogue.make_bucket(name, told))


def get_bucket(service: Service, request: Request, bucket: str) -> Answer:
    """Tell of a bucket."""
    found = service.catalogue.bucket(bucket)
    service.allow("storage.buckets.get")
    return in_json(found.resource)


def delete_bucket(service: Service, request: Request, bucket: str) -> Answer:
    """Remove an empty bucket."""
    service.allow("storage.buckets.delete")
    service.catalogue.remove_bucket(bucket)
    return Answer(204)


def tell_permissions(service: Service, request: Request, bucket: str) -> Answer:
    """Tell which of the permissions that are asked about the caller has."""
    service.catalogue.bucket(bucket)
    asked = request.repeated("permissions")
    told: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    if has := [each for each in asked if each not in service.settings.deny]:
        told["permissions"] = has
    return in_json(told)


def get(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Tell of an object, or send it (`alt=media`)."""
    if request.query.get("alt") == "media":
        return download(service, request, bucket, name)
    return service.told(request, _found(service, request, bucket, name).resource)


def download(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Send an object's bytes, or a range of them."""
    with service.catalogue.lock:
        stored = _found(service, request, bucket, name)
        size = stored.content.size
        wanted = wanted_range(request.headers.get("range"), size)
        start, count = wanted or (0, size)
        stretches = service.contents.open(stored.content, start, count)
    headers = _media_headers(stored)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{size}"
    return Answer(206 if wanted else 200, headers, stretches=stretches)


def delete(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Remove an object."""
    service.catalogue.bucket(bucket)
    service.allow("storage.objects.delete")
    generation = request.query.get("generation")

    def allow(stored: Stored) -> None:
        if generation not in {None, stored.resource["generation"]}:
            raise no_object(bucket, name)
        Conditions.of(request.query).require(stored.resource)

    service.catalogue.remove(bucket, name, allow)
    return Answer(204)


def patch(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Change what a client may change of an object's resource; its bytes stay."""
    service.allow("storage.objects.update")
    wanted = read_json(request.body.read())

    def change(stored: Stored) -> dict[str, Any]:
        Conditions.of(request.query).require(stored.resource)
        return resources.changed(stored.resource, wanted)

    return service.told(request, service.catalogue.update(bucket, name, change))


def list_acl(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Tell who gets in beside the bucket's own people."""
    acl = _found(service, request, bucket, name).resource.get("acl", [])
    return in_json({"kind": "storage#objectAccessControls", "items": acl})


def list_objects(service: Service, request: Request, bucket: str) -> Answer:
    """List a bucket's objects in the order of their names, a page at a time."""
    service.allow("storage.objects.list")
    query = request.query
    if query.get("delimiter"):
        raise invalid("This server knows no delimiter")
    page = min(_PAGE, _positive(query.get("maxResults"), _PAGE))
    after = _name_of(query.get("pageToken", ""))
    with service.catalogue.lock:
        found = list(_names(service.catalogue.bucket(bucket), query.get("prefix", ""), after, page))
        objects = service.catalogue.bucket(bucket).objects
        listed = [objects[name].resource for name in found[:page]]
    origin = service.origin(request)
    told: dict[str, Any] = {"kind": "storage#objects"}
    if listed:
        told["items"] = [resources.shown(each, origin) for each in listed]
    if len(found) > page:
        told["nextPageToken"] = _token_of(found[page - 1])
    return in_json(told)


def _found(service: Service, request: Request, bucket: str, name: str) -> Stored:
    service.catalogue.bucket(bucket)
    service.allow("storage.objects.get")
    stored = service.catalogue.get(bucket, name, request.query.get("generation"))
    Conditions.of(request.query).require(stored.resource, reading=True)
    return stored


def _media_headers(stored: Stored) -> dict[str, str]:
    resource = stored.resource
    sums = [f"crc32c={resource['crc32c']}"]
    if "md5Hash" in resource:
        sums.append(f"md5={resource['md5Hash']}")
    return {
        "Content-Type": resource.get("contentType") or "application/octet-stream",
        "ETag": resource["etag"],
        "Accept-Ranges": "bytes",
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Metageneration": resource["metageneration"],
        "X-Goog-Hash": ",".join(sums),
        "X-Goog-Storage-Class": resource["storageClass"],
        "X-Goog-Stored-Content-Encoding": resource.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": resource["size"],
    }


def _names(bucket: Bucket, prefix: str, after: str, page: int) -> Iterator[str]:
    """Return a page's names and one more, if there is one."""
    start = max(bisect.bisect_left(bucket.names, prefix), bisect.bisect_right(bucket.names, after))
    for name in bucket.names[start : start + page + 1]:
        if not name.startswith(prefix):
            return
        yield name


def _positive(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdigit() or int(text) == 0:
        raise invalid(f"Invalid value for maxResults: {text}", "invalidParameter")
    return int(text)


def _token_of(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise invalid("Invalid page token", "invalidParameter") from None
