"""Handle what a server does with objects that it has: rewrite, copy, compose.

- A rewrite of more than `rewrite_bytes` takes several calls. Its token is good for the same two
  names and the same generation of the source, and lost when the server is killed: 410.
- The destination gets the source's metadata where the request has none of its own.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs.conditions import Conditions
from tests.servers.strict_gcs.errors import gone, invalid, required
from tests.servers.strict_gcs.resources import Draft, checked_name, fields_of
from tests.servers.strict_gcs.service import in_json, read_json
from tests.servers.strict_gcs.wire import Answer

if TYPE_CHECKING:
    from tests.servers.strict_gcs.catalogue import Stored
    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.wire import Request

#: Sources of one compose.
_SOURCES = 32

#: Bytes: what `maxBytesRewrittenPerCall` must be a multiple of.
_REWRITE_UNIT = 1024 * 1024


def rewrite(service: Service, request: Request, *names: str) -> Answer:
    """Copy an object, or go on copying it; the names are the source's and the destination's."""
    source, to = _source(service, request, *names[:2]), names[2:]
    resource = read_json(request.body.read())
    size = source.content.size
    done = _rewritten(service, request, source, to)
    told: dict[str, Any] = {"kind": "storage#rewriteResponse", "objectSize": str(size)}
    if done < size:
        token = secrets.token_urlsafe(24)
        service.rewrites[_rewrite_key(token, source, to)] = done
        return in_json(
            {**told, "totalBytesRewritten": str(done), "done": False, "rewriteToken": token}
        )
    made = service.shown(request, _copy(service, request, source, resource, to).resource)
    return in_json({**told, "totalBytesRewritten": str(size), "done": True, "resource": made})


def copy(service: Service, request: Request, *names: str) -> Answer:
    """Copy an object in one call."""
    source, to = _source(service, request, *names[:2]), names[2:]
    resource = read_json(request.body.read())
    return service.told(request, _copy(service, request, source, resource, to).resource)


def compose(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Put objects together, one after the other."""
    wanted = read_json(request.body.read())
    service.allow("storage.objects.create")
    service.allow("storage.objects.get")
    asked = wanted.get("sourceObjects") or []
    if not asked:
        raise required("sourceObjects")
    if len(asked) > _SOURCES:
        raise invalid(f"The number of source components provided ({len(asked)}) exceeds 32")
    fields = fields_of(wanted.get("destination") or {}, request.query, "destination")
    if "kmsKeyName" in request.query:
        # Not `destinationKmsKeyName`, as rewrite has it.
        fields |= fields_of({}, {"kmsKeyName": request.query["kmsKeyName"]})
    draft = Draft(bucket, checked_name(name), fields)
    with service.catalogue.lock:
        sources = [_component(service, bucket, each) for each in asked]
        count = sum(each.content.components or 1 for each in sources)
        content = service.contents.join([each.content for each in sources], count)
        stored = service.store(request, draft, content)
        if wanted.get("deleteSourceObjects"):
            _delete(service, bucket, {each.resource["name"] for each in sources} - {name})
    return service.told(request, stored.resource)


def _source(service: Service, request: Request, bucket: str, name: str) -> Stored:
    service.catalogue.bucket(bucket)
    service.allow("storage.objects.get")
    service.allow("storage.objects.create")
    source = service.catalogue.get(bucket, name, request.query.get("sourceGeneration"))
    Conditions.of(request.query, "ifSource").require(source.resource)
    return source


def _rewritten(service: Service, request: Request, source: Stored, to: tuple[str, ...]) -> int:
    """Return how many bytes are copied when this call is over."""
    asked = request.query.get("maxBytesRewrittenPerCall")
    if asked and int(asked) % _REWRITE_UNIT:
        raise invalid("maxBytesRewrittenPerCall must be a multiple of 1 MiB")
    step = int(asked) if asked else service.settings.rewrite_bytes
    before = 0
    if token := request.query.get("rewriteToken"):
        try:
            before = service.rewrites.pop(_rewrite_key(token, source, to))
        except KeyError:
            raise gone("The rewrite token is no longer available") from None
    size = source.content.size
    return size if step is None else min(size, before + step)


def _rewrite_key(token: str, source: Stored, to: tuple[str, ...]) -> str:
    return f"{token} {source.resource['id']} {'/'.join(to)}"


def _copy(
    service: Service,
    request: Request,
    source: Stored,
    resource: dict[str, Any],
    to: tuple[str, ...],
) -> Stored:
    """Make the copy."""
    inherited = {key: text for key, text in source.resource.items() if key != "kmsKeyName"}
    fields = fields_of({**inherited, **resource}, request.query, "destination")
    bucket, name = to
    draft = Draft(bucket, checked_name(name), fields)
    origin = source.resource
    with service.catalogue.lock:
        service.catalogue.get(origin["bucket"], origin["name"], origin["generation"])
        return service.store(request, draft, service.contents.copy(source.content))


def _component(service: Service, bucket: str, asked: dict[str, Any]) -> Stored:
    """Find a source of a compose, and hold it to what is said of it."""
    generation = asked.get("generation")
    told = str(generation) if generation is not None else None
    source = service.catalogue.get(bucket, asked.get("name", ""), told)
    Conditions.of(asked.get("objectPreconditions") or {}).require(source.resource)
    return source


def _delete(service: Service, bucket: str, names: set[str]) -> None:
    service.allow("storage.objects.delete")
    for name in names:
        service.catalogue.remove(bucket, name, lambda _: None)
