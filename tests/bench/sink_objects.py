"""Answers what S3 answers, from names and sizes alone: the bytes were thrown away.

- Lists, HEAD, `If-None-Match` and the completion of parts are answered truly, so that one can see
  what arrived.
- An ETag is the Content-MD5 that came with the body, where one came; that of an object in parts is
  made of its parts' as S3 makes it. Else it is made up, as that of an encrypted object looks.
- Checksums are repeated as they came, unchecked.
- What no uploader of the benchmark asks for (reading, copying, listing parts) is answered 501.
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from xml.sax.saxutils import escape, unescape

PAGE = 1000  #: entries in one answer to a list, as of S3

CRC32C = "x-amz-checksum-crc32c"

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_PART = re.compile(rb"<Part[ >].*?</Part>", re.DOTALL)
_NUMBER = re.compile(rb"<PartNumber>(\d+)")
_ETAG = re.compile(rb"<ETag>[^<]*?([0-9a-f]{32})")
_KEY = re.compile(rb"<Key>([^<]*)</Key>")

#: Fields of a query that say what to list.
_OF_A_LIST = frozenset(
    ["list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token",
     "encoding-type", "fetch-owner", "x-id"]
)  # fmt: skip


@dataclass
class Request:
    """A request without the bytes of an object."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]  #: those that matter here, in lower case
    document: bytes = b""  #: the body, where it is not an object's or a part's

    @property
    def size(self) -> int:
        """Bytes of the object or part that came with it."""
        decoded = self.headers.get("x-amz-decoded-content-length")
        return int(decoded or self.headers.get("content-length") or 0)

    @property
    def checksums(self) -> dict[str, str]:
        """The headers that carry the checksum of the bytes."""
        named = self.headers.items()
        return {name: value for name, value in named if name.startswith("x-amz-checksum-")}


@dataclass
class Answer:
    """A status, headers and a document."""

    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    document: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of an object, or of a part."""

    size: int
    etag: str


class RefusedError(Exception):
    """What S3 would refuse, and how."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        text = f"<Error><Code>{code}</Code><Message>{code}, says the sink.</Message></Error>"
        self.answer = Answer(status, document=_XML + text)


class Objects:
    """All that was put, by bucket and key."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, Known]] = {}
        self._sessions: dict[str, dict[int, Known]] = {}
        self._numbers = count(1)

    def answer(self, request: Request) -> Answer:
        """Do what is asked, and say what came of it."""
        try:
            return self._of_object(request) if request.key else self._of_bucket(request)
        except RefusedError as refused:
            return refused.answer

    # -- objects --------------------------------------------------------------------------------

    def _of_object(self, request: Request) -> Answer:
        objects = self._objects(request)
        if "x-amz-copy-source" in request.headers:
            raise _not_implemented()
        if "uploadId" in request.query:
            return self._of_session(request, objects)
        if request.method == "PUT":
            return self._put(request, objects)
        if request.method == "POST" and "uploads" in request.query:
            return self._begin(request)
        if request.method == "DELETE":
            objects.pop(request.key, None)
            return Answer(HTTPStatus.NO_CONTENT)
        if request.key not in objects:
            raise RefusedError(HTTPStatus.NOT_FOUND, "NoSuchKey")
        if request.method == "HEAD":
            known = objects[request.key]
            told = {"ETag": f'"{known.etag}"', "Content-Length": str(known.size)}
            return Answer(headers=told)
        raise _not_implemented()

    def _put(self, request: Request, objects: dict[str, Known]) -> Answer:
        _require_new(request, objects)
        objects[request.key] = known = self._known(request)
        return Answer(headers={"ETag": f'"{known.etag}"', **request.checksums})

    def _begin(self, request: Request) -> Answer:
        session = f"{next(self._numbers):032x}"
        self._sessions[session] = {}
        told = f"<UploadId>{session}</UploadId>"
        return _document("InitiateMultipartUploadResult", _place(request) + told)

    def _of_session(self, request: Request, objects: dict[str, Known]) -> Answer:
        session = request.query["uploadId"]
        sent = self._sessions.get(session)
        if sent is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "NoSuchUpload")
        if request.method == "PUT":
            sent[int(request.query["partNumber"])] = known = self._known(request)
            return Answer(headers={"ETag": f'"{known.etag}"', **request.checksums})
        if request.method == "POST":
            _require_new(request, objects)
            objects[request.key] = known = _whole(_named(request.document, sent))
            del self._sessions[session]
            return _completed(request, known)
        if request.method == "DELETE":
            del self._sessions[session]
            return Answer(HTTPStatus.NO_CONTENT)
        raise _not_implemented()

    def _known(self, request: Request) -> Known:
        md5 = request.headers.get("content-md5")
        etag = base64.b64decode(md5).hex() if md5 else f"{next(self._numbers):032x}"
        return Known(request.size, etag)

    # -- buckets --------------------------------------------------------------------------------

    def _of_bucket(self, request: Request) -> Answer:
        if request.method == "PUT" and not request.query:
            self._buckets.setdefault(request.bucket, {})
            return Answer(headers={"Location": f"/{request.bucket}"})
        objects = self._objects(request)
        if request.method == "HEAD":
            return Answer(headers={"x-amz-bucket-region": "us-east-1"})
        if request.method == "DELETE" and objects:
            raise RefusedError(HTTPStatus.CONFLICT, "BucketNotEmpty")
        if request.method == "DELETE":
            del self._buckets[request.bucket]
            return Answer(HTTPStatus.NO_CONTENT)
        if request.method == "POST" and "delete" in request.query:
            return _delete_all(request, objects)
        if request.method == "GET" and "location" in request.query:
            return _document("LocationConstraint", "")
        if request.method == "GET" and request.query.keys() <= _OF_A_LIST:
            return _list(request, objects)
        raise _not_implemented()

    def _objects(self, request: Request) -> dict[str, Known]:
        try:
            return self._buckets[request.bucket]
        except KeyError:
            raise RefusedError(HTTPStatus.NOT_FOUND, "NoSuchBucket") from None


def _require_new(request: Request, objects: dict[str, Known]) -> None:
    if request.headers.get("if-none-match") == "*" and request.key in objects:
        raise RefusedError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")


def _named(document: bytes, sent: dict[int, Known]) -> list[Known]:
    """Return the parts that the document of a completion names, as they were sent."""
    parts = []
    for text in _PART.findall(document):
        number, etag = _NUMBER.search(text), _ETAG.search(text)
        part = sent.get(int(number[1])) if number else None
        if part is None or etag is None or part.etag != etag[1].decode():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "InvalidPart")
        parts.append(part)
    if not parts:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "MalformedXML")
    return parts


def _whole(parts: list[Known]) -> Known:
    sums = b"".join(bytes.fromhex(part.etag) for part in parts)
    etag = f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"
    return Known(sum(part.size for part in parts), etag)


def _completed(request: Request, known: Known) -> Answer:
    told = f"<ETag>&quot;{known.etag}&quot;</ETag>"
    if CRC32C in request.headers:
        told += f"<ChecksumCRC32C>{request.headers[CRC32C]}</ChecksumCRC32C>"
    return _document("CompleteMultipartUploadResult", _place(request) + told)


def _delete_all(request: Request, objects: dict[str, Known]) -> Answer:
    for key in _KEY.findall(request.document):
        objects.pop(unescape(key.decode()), None)
    return _document("DeleteResult", "")


def _list(request: Request, objects: dict[str, Known]) -> Answer:
    """List a page of names in order, or what they have before a delimiter."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
    most = min(PAGE, int(query.get("max-keys") or PAGE))
    entries: dict[str, str] = {}
    names = sorted(name for name in objects if name.startswith(prefix))
    for name in names[bisect_right(names, after) :]:
        head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        entry = prefix + head + cut if cut else name
        if entry <= after:
            continue
        if entry not in entries and len(entries) == most:
            return _page(query, entries, truncated=True)
        entries[entry] = _entry(entry, None if cut else objects[name])
    return _page(query, entries, truncated=False)


def _entry(name: str, known: Known | None) -> str:
    if known is None:
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    return (
        f"<Contents><Key>{escape(name)}</Key><Size>{known.size}</Size>"
        f"<ETag>&quot;{known.etag}&quot;</ETag><StorageClass>STANDARD</StorageClass>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
    )


def _page(query: dict[str, str], entries: dict[str, str], *, truncated: bool) -> Answer:
    last = escape(list(entries)[-1]) if truncated else ""
    mark = "NextContinuationToken" if query.get("list-type") == "2" else "NextMarker"
    follows = f"<{mark}>{last}</{mark}>" if truncated else ""
    told = (
        f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><KeyCount>{len(entries)}</KeyCount>"
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{follows}"
    )
    return _document("ListBucketResult", told + "".join(entries.values()))


def _place(request: Request) -> str:
    return f"<Bucket>{escape(request.bucket)}</Bucket><Key>{escape(request.key)}</Key>"


def _document(root: str, content: str) -> Answer:
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return Answer(document=f'{_XML}<{root} xmlns="{namespace}">{content}</{root}>')


def _not_implemented() -> RefusedError:
    return RefusedError(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented")
