"""Handle `/upload/storage/v1`: objects by media, by multipart, by a resumable session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs.checksums import Told
from tests.servers.strict_gcs.conditions import Conditions
from tests.servers.strict_gcs.errors import ApiError, invalid, required
from tests.servers.strict_gcs.ranges import sent_range
from tests.servers.strict_gcs.related import parts_of
from tests.servers.strict_gcs.resources import Draft, checked_name, fields_of
from tests.servers.strict_gcs.service import read_json
from tests.servers.strict_gcs.wire import Answer

if TYPE_CHECKING:
    from tests.servers.strict_gcs.contents import Content
    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.sessions import Session
    from tests.servers.strict_gcs.wire import Incoming, Request


def insert(service: Service, request: Request, bucket: str) -> Answer:
    """Begin, or do, an upload."""
    kind = request.query.get("uploadType")
    if kind == "resumable":
        return _begin(service, request, bucket)
    service.allow("storage.objects.create")
    service.catalogue.bucket(bucket)
    if kind == "media":
        resource: dict[str, Any] = {"contentType": request.headers.get("content-type")}
        return _whole(service, request, bucket, resource, request.body)
    if kind == "multipart":
        resource, media = parts_of(request)
        return _whole(service, request, bucket, resource, media)
    raise invalid(f"Invalid uploadType: {kind}", "wrongUrlForUpload")


def go_on(service: Service, request: Request, bucket: str) -> Answer:
    """Take a chunk of a session, or tell how far it is."""
    session = _session_of(service, request, bucket)
    if session.outcome:
        return service.told(request, session.outcome)
    sent = sent_range(request.headers.get("content-range"), request.body.length)
    if not sent.status:
        service.sessions.take(session, sent, request.body)
    with session.lock:
        if session.outcome is None and not service.sessions.reached(session, sent):
            return _so_far(session)
        resource = session.outcome or _finish(service, request, session)
    return service.told(request, resource)


def cancel(service: Service, request: Request, bucket: str) -> Answer:
    """Give a session up."""
    session = _session_of(service, request, bucket)
    if session.outcome:
        raise invalid("The upload is finished")
    service.sessions.end(session, "been cancelled")
    return Answer(499)


def _begin(service: Service, request: Request, bucket: str) -> Answer:
    resource = read_json(request.body.read())
    name = checked_name(request.query.get("name") or resource.get("name"))
    service.allow("storage.objects.create")
    service.catalogue.bucket(bucket)
    resource.setdefault("contentType", request.headers.get("x-upload-content-type"))
    fields_of(resource, request.query)
    Told.by_resource(resource)
    conditions = Conditions.of(request.query)
    if service.settings.check_at_begin:
        live = service.catalogue.live(bucket, name)
        conditions.require(live.resource if live else None)
    length = request.headers.get("x-upload-content-length")
    total = int(length) if length else None
    session = service.sessions.begin(bucket, name, resource, request.query, total)
    return Answer(headers=_location(service, request, session))


def _location(service: Service, request: Request, session: Session) -> dict[str, str]:
    path = f"/upload/storage/v1/b/{session.bucket}/o"
    query = f"uploadType=resumable&upload_id={session.id}"
    return {
        "Location": f"{service.origin(request)}{path}?{query}",
        "X-GUploader-UploadID": session.id,
    }


def _session_of(service: Service, request: Request, bucket: str) -> Session:
    session_id = request.query.get("upload_id")
    if not session_id:
        raise required("upload_id")
    return service.sessions.find(bucket, session_id, service.settings.session_lifetime)


def _so_far(session: Session) -> Answer:
    if session.told == 0:
        return Answer(308)
    return Answer(308, {"Range": f"bytes=0-{session.told - 1}"})


def _finish(service: Service, request: Request, session: Session) -> dict[str, Any]:
    """Make the object; the caller holds the session's lock."""
    try:
        told = [Told.by_resource(session.resource), Told.by_header(request.headers)]
        content = service.sessions.content(session, with_md5=any(each.md5 for each in told))
        _require(told, content)
        fields = fields_of(session.resource, session.query)
        draft = Draft(session.bucket, session.name, fields)
        stored = service.insert(draft, content, Conditions.of(session.query), session)
    except ApiError as refusal:
        service.sessions.end(session, f"ended with {refusal.status}: {refusal.message}")
        raise
    session.outcome = stored.resource
    return stored.resource


def _whole(
    service: Service, request: Request, bucket: str, resource: dict[str, Any], media: Incoming
) -> Answer:
    name = checked_name(request.query.get("name") or resource.get("name"))
    draft = Draft(bucket, name, fields_of(resource, request.query))
    told = [Told.by_resource(resource), Told.by_header(request.headers)]
    content = service.contents.take(media, with_md5=any(each.md5 for each in told))
    try:
        _require(told, content)
    except ApiError:
        service.contents.drop(content.pieces)
        raise
    return service.told(request, service.store(request, draft, content).resource)


def _require(told: list[Told], content: Content) -> None:
    for each in told:
        each.require(content.crc32c, content.md5)
