"""Handle the XML API's multipart uploads, so that Google's own parallel upload can be measured.

- Open uploads are in memory: a killed server has none of them. Finished ones are objects.
- The last request knows no precondition: whoever comes last has the name. That is so of GCS too,
  and why such an upload cannot create a name only if it is free.

Source: "XML API multipart uploads" in GCS's documentation.
"""

from __future__ import annotations

import dataclasses
import secrets
import threading
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from tests.servers.strict_gcs.checksums import Told
from tests.servers.strict_gcs.conditions import Conditions
from tests.servers.strict_gcs.errors import ApiError, invalid
from tests.servers.strict_gcs.resources import Draft, checked_name, fields_of
from tests.servers.strict_gcs.wire import Answer

if TYPE_CHECKING:
    from tests.servers.strict_gcs.contents import Content
    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.wire import Request

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

#: Bytes that every part but the last has at least.
_SMALLEST_PART = 5 * 1024 * 1024

#: Parts of an upload.
_MOST_PARTS = 10_000

#: What begins the headers that are custom metadata.
_METADATA = "x-goog-meta-"


@dataclasses.dataclass
class Upload:
    """An open upload: what is to be, and its parts by number, each with its ETag."""

    draft: Draft
    parts: dict[int, tuple[str, Content]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Uploads:
    """All that are open."""

    open: dict[str, Upload] = dataclasses.field(default_factory=dict)
    lock: Any = dataclasses.field(default_factory=threading.Lock)

    def find(self, upload_id: str, bucket: str, name: str) -> Upload:
        """Return an upload of that name.

        Raises:
            ApiError: 404.
        """
        upload = self.open.get(upload_id)
        if upload is None or (upload.draft.bucket, upload.draft.name) != (bucket, name):
            raise ApiError(404, "NoSuchUpload", "The requested upload was not found.")
        return upload


def handle(service: Service, request: Request, bucket: str, name: str) -> Answer:
    """Do what the method and the query say; refusals in XML."""
    try:
        return _dispatch(service, request, bucket, checked_name(name))
    except ApiError as refusal:
        code, message = (escape(text) for text in (refusal.reason, refusal.message))
        told = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return _in_xml(told, refusal.status)


def _dispatch(service: Service, request: Request, bucket: str, name: str) -> Answer:
    service.catalogue.bucket(bucket)
    if request.method == "POST" and "uploads" in request.query:
        return _begin(service, request, bucket, name)
    upload_id = request.query.get("uploadId")
    if not upload_id or request.method not in _BY_METHOD:
        raise invalid("Not a request of a multipart upload", "InvalidArgument")
    upload = service.xml_uploads.find(upload_id, bucket, name)
    return _BY_METHOD[request.method](service, request, upload)


def _begin(service: Service, request: Request, bucket: str, name: str) -> Answer:
    service.allow("storage.objects.create")
    upload_id = secrets.token_urlsafe(32)
    fields = fields_of(_resource_of(request.headers), {})
    service.xml_uploads.open[upload_id] = Upload(Draft(bucket, name, fields))
    return _in_xml(
        f'<InitiateMultipartUploadResult xmlns="{_NAMESPACE}"><Bucket>{bucket}</Bucket>'
        f"<Key>{escape(name)}</Key><UploadId>{upload_id}</UploadId>"
        "</InitiateMultipartUploadResult>"
    )


def _take_part(service: Service, request: Request, upload: Upload) -> Answer:
    number = request.query.get("partNumber", "")
    if not number.isdigit() or not 1 <= int(number) <= _MOST_PARTS:
        raise invalid(f"Part number {number!r}", "InvalidArgument")
    told = Told.by_header(request.headers)
    content = service.contents.take(request.body, with_md5=told.md5 is not None)
    try:
        told.require(content.crc32c, content.md5)
    except ApiError as wrong:
        service.contents.drop(content.pieces)
        raise invalid(wrong.message, "BadDigest") from None
    etag = f'"{secrets.token_hex(16)}"'
    with service.xml_uploads.lock:
        replaced = upload.parts.get(int(number))
        upload.parts[int(number)] = (etag, content)
    if replaced:
        service.contents.drop(replaced[1].pieces)
    return Answer(headers={"ETag": etag, "x-goog-hash": f"crc32c={content.crc32c}"})


def _list_parts(service: Service, request: Request, upload: Upload) -> Answer:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>"
        f"<Size>{content.size}</Size></Part>"
        for number, (etag, content) in sorted(upload.parts.items())
    )
    told = f'<ListPartsResult xmlns="{_NAMESPACE}"><IsTruncated>false</IsTruncated>{parts}'
    return _in_xml(f"{told}</ListPartsResult>")


def _complete(service: Service, request: Request, upload: Upload) -> Answer:
    upload_id = request.query["uploadId"]
    contents = [_named(upload, *each) for each in _wanted(request.body.read())]
    if any(content.size < _SMALLEST_PART for content in contents[:-1]):
        raise invalid("A part is smaller than the minimum", "EntityTooSmall")
    service.allow("storage.objects.create")
    whole = service.contents.join(contents, len(contents))
    try:
        stored = service.insert(upload.draft, whole, Conditions())
    except ApiError:
        service.contents.drop(whole.pieces)
        raise
    _forget(service, upload_id, upload)
    name, etag = escape(upload.draft.name), stored.resource["etag"]
    answer = _in_xml(
        f'<CompleteMultipartUploadResult xmlns="{_NAMESPACE}"><Bucket>{upload.draft.bucket}'
        f"</Bucket><Key>{name}</Key><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
    )
    answer.headers["x-goog-hash"] = f"crc32c={whole.crc32c}"
    return answer


def _abort(service: Service, request: Request, upload: Upload) -> Answer:
    _forget(service, request.query["uploadId"], upload)
    return Answer(204)


_BY_METHOD = {"PUT": _take_part, "GET": _list_parts, "POST": _complete, "DELETE": _abort}


def _forget(service: Service, upload_id: str, upload: Upload) -> None:
    service.xml_uploads.open.pop(upload_id, None)
    for _, content in upload.parts.values():
        service.contents.drop(content.pieces)


def _wanted(body: bytes) -> list[tuple[int, str]]:
    """Read which parts are to be the whole."""
    try:
        root = ET.fromstring(body)
        wanted = [(int(_text(part, "PartNumber")), _text(part, "ETag")) for part in root]
    except (ET.ParseError, ValueError):
        raise invalid("The XML is not well-formed", "MalformedXML") from None
    numbers = [number for number, _ in wanted]
    if not wanted or numbers != sorted(set(numbers)):
        raise invalid("The parts are not in order", "InvalidPartOrder")
    return wanted


def _text(part: ET.Element, tag: str) -> str:
    found = part.find(f"{{*}}{tag}")
    return (found.text or "") if found is not None else ""


def _named(upload: Upload, number: int, etag: str) -> Content:
    has = upload.parts.get(number)
    if has is None or has[0].strip('"') != etag.strip('"'):
        raise invalid(f"Part {number} is not there", "InvalidPart")
    return has[1]


def _resource_of(headers: dict[str, str]) -> dict[str, Any]:
    metadata = {
        name[len(_METADATA) :]: text for name, text in headers.items() if name.startswith(_METADATA)
    }
    return {
        "contentType": headers.get("content-type"),
        "storageClass": headers.get("x-goog-storage-class"),
        "kmsKeyName": headers.get("x-goog-encryption-kms-key-name"),
        "metadata": metadata or None,
    }


def _in_xml(told: str, status: int = 200) -> Answer:
    declared = f"<?xml version='1.0' encoding='UTF-8'?>{told}"
    headers = {"Content-Type": "application/xml; charset=UTF-8"}
    return Answer(status, headers, declared.encode())
