"""Say the requests that go past the SDK as they read on the wire, and understand their answers.

The names are those of the S3 API reference. A test holds them to botocore's model of the API.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from uploader.store.http.refused import RefusedError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from uploader.store.http.reply import Answer


class Verb(NamedTuple):
    """How a request of one operation begins."""

    method: str
    query: tuple[tuple[str, str], ...] = ()


VERBS = {
    "abort_multipart_upload": Verb("DELETE"),
    "complete_multipart_upload": Verb("POST"),
    "create_multipart_upload": Verb("POST", (("uploads", ""),)),
    "head_bucket": Verb("HEAD"),
    "head_object": Verb("HEAD"),
    "list_objects_v2": Verb("GET", (("list-type", "2"),)),
    "put_object": Verb("PUT"),
    "upload_part": Verb("PUT"),
}  #: the operations that go past the SDK

HEADERS = {
    "ACL": "x-amz-acl",
    "ChecksumAlgorithm": "x-amz-checksum-algorithm",
    "ChecksumCRC32C": "x-amz-checksum-crc32c",
    "ChecksumMode": "x-amz-checksum-mode",
    "ChecksumType": "x-amz-checksum-type",
    "ContentMD5": "content-md5",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "RequestPayer": "x-amz-request-payer",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    "SSECustomerKey": "x-amz-server-side-encryption-customer-key",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}  #: by what boto3 calls a parameter
QUERY = {
    "MaxKeys": "max-keys",
    "PartNumber": "partNumber",
    "Prefix": "prefix",
    "UploadId": "uploadId",
}
METADATA = "x-amz-meta-"

_SUCCESS = 300  #: statuses below it
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_TOLD = {
    "etag": "ETag",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-version-id": "VersionId",
    "content-length": "ContentLength",
    "date": "Date",
}  #: of an answer's headers, those that are looked at, and what boto3 calls them
_DOCUMENTS = {
    "create_multipart_upload": "InitiateMultipartUploadResult",
    "complete_multipart_upload": "CompleteMultipartUploadResult",
    "list_objects_v2": "ListBucketResult",
}  #: answers that are in a document


class Request(NamedTuple):
    """A request, but for its key and the body that comes from a spool."""

    method: str
    query: dict[str, str]
    headers: dict[str, str]  #: names in lower case
    document: bytes


def request_of(operation: str, parameters: dict[str, Any]) -> Request:
    """Return a request as it goes on the wire.

    Args:
        operation: one of `VERBS`, as boto3 calls it.
        parameters: as boto3 takes them.
    """
    verb = VERBS[operation]
    request = Request(
        verb.method,
        dict(verb.query),
        {},
        _completion(parameters) if "MultipartUpload" in parameters else b"",
    )
    for parameter, value in parameters.items():
        if parameter in QUERY:
            request.query[QUERY[parameter]] = str(value)
        elif parameter == "Metadata":
            for key, text in value.items():
                request.headers[f"{METADATA}{key.lower()}"] = text
        elif parameter == "SSECustomerKey":
            request.headers.update(_customer_key(value))
        elif parameter != "MultipartUpload":
            request.headers[HEADERS[parameter]] = value
    return request


def understood(operation: str, answer: Answer) -> dict[str, Any]:
    """Return what an answer says, as boto3 does.

    Raises:
        RefusedError: it is a refusal.
        ConnectionError: it was cut off, or is no answer of S3.
    """
    if answer.status >= _SUCCESS:
        raise _refusal(answer)
    found: dict[str, Any] = {
        _TOLD[name]: value for name, value in answer.headers.items() if name in _TOLD
    }
    found["Metadata"] = {
        name.removeprefix(METADATA): value
        for name, value in answer.headers.items()
        if name.startswith(METADATA)
    }
    if operation in _DOCUMENTS:
        found |= _in_document(answer, _DOCUMENTS[operation])
    return found


def _customer_key(key: bytes) -> dict[str, str]:
    name = HEADERS["SSECustomerKey"]
    digest = hashlib.md5(key, usedforsecurity=False).digest()
    return {
        name: base64.b64encode(key).decode(),
        f"{name}-md5": base64.b64encode(digest).decode(),
    }


def _completion(parameters: dict[str, Any]) -> bytes:
    parts = "".join(
        f"<Part><ETag>{escape(part['ETag'], quote=False)}</ETag>"
        f"<PartNumber>{part['PartNumber']}</PartNumber></Part>"
        for part in parameters["MultipartUpload"]["Parts"]
    )
    text = f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{parts}</CompleteMultipartUpload>'
    return text.encode()


def _in_document(answer: Answer, name: str) -> dict[str, Any]:
    """Return what a document says; a completion may have failed after its 200 was on its way."""
    root = _parsed(answer.body)
    if root is not None and _local(root) == "Error":
        raise _refusal(answer)
    if root is None or _local(root) != name:
        raise ConnectionError("the answer was cut off, or is none of S3")
    contents = [_texts(child) for child in root if _local(child) == "Contents"]
    return {**_texts(root), "Contents": contents}


def _refusal(answer: Answer) -> RefusedError:
    """Return what a service refuses with; the answer to a HEAD does not say."""
    root = _parsed(answer.body)
    said = {} if root is None else _texts(root)
    return RefusedError(answer.status, said.get("Code", ""), said.get("Message", ""))


def _parsed(document: bytes) -> Element | None:
    if not document.strip():
        return None
    from xml.etree import ElementTree as ET  # most answers have none

    try:
        return ET.fromstring(document.strip())  # noqa: S314  expat itself refuses XML bombs
    except (ET.ParseError, LookupError, ValueError):  # the last two: of an encoding that it names
        return None


def _texts(element: Element) -> dict[str, str]:
    return {_local(child): (child.text or "").strip() for child in element}


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]
