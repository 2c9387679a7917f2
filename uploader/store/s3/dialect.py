"""Translate a request as boto3 names its parameters into headers, and an answer's headers back.

By botocore's own model of the API, and errors by its own parser, so that nothing is said twice.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import HeadersDict
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

if TYPE_CHECKING:
    from uploader.store.s3.wire import Answer

METADATA = "x-amz-meta-"
_SUCCESS = 300  #: statuses below it
_TOLD = {
    "etag": "ETag",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-version-id": "VersionId",
    "content-length": "ContentLength",
}  #: of an answer's headers, those that are looked at, and what boto3 calls them


class Dialect:
    """How requests of one client read on the wire."""

    def __init__(self, client: Any) -> None:
        """Learn from `client`'s model."""
        self._model = client.meta.service_model
        self._names: dict[str, dict[str, tuple[str, str]]] = {}
        self._parser: Any = create_parser("rest-xml")

    def request(
        self, operation: str, parameters: dict[str, Any]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return headers and query of a request; what is not in them is the key and the body."""
        names = self._names.get(operation) or self._learn(operation)
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        for parameter, value in parameters.items():
            place, name = names[parameter]
            if parameter == "Metadata":
                headers.update({f"{METADATA}{key.lower()}": text for key, text in value.items()})
            elif parameter == "SSECustomerKey":
                headers[name] = base64.b64encode(value).decode()
                headers[f"{name}-md5"] = base64.b64encode(
                    hashlib.md5(value, usedforsecurity=False).digest()
                ).decode()
            else:
                (query if place == "querystring" else headers)[name] = str(value)
        return headers, query

    def answer(self, operation: str, answer: Answer) -> dict[str, Any]:
        """Return what an answer says, as boto3 does.

        Raises:
            botocore.exceptions.ClientError: it is a refusal.
        """
        if answer.status >= _SUCCESS:
            said = {
                "status_code": answer.status,
                "headers": HeadersDict(answer.headers),
                "body": answer.body,
            }
            shape = self._model.operation_model(operation).output_shape
            raise ClientError(self._parser.parse(said, shape), operation)
        found: dict[str, Any] = {
            _TOLD[name]: value for name, value in answer.headers.items() if name in _TOLD
        }
        found["Metadata"] = {
            name.removeprefix(METADATA): value
            for name, value in answer.headers.items()
            if name.startswith(METADATA)
        }
        return found

    def _learn(self, operation: str) -> dict[str, tuple[str, str]]:
        names = {}
        for parameter, shape in self._model.operation_model(operation).input_shape.members.items():
            place, name = (shape.serialization.get(key, "") for key in ("location", "name"))
            names[parameter] = (place, name if place == "querystring" else name.lower())
        self._names[operation] = names
        return names
