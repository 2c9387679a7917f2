"""Ask one bucket for one thing at a time; every failure comes out classified."""

from __future__ import annotations

import os
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uploader.errors import NotFoundError, PermanentError, StoreError, TransientError
from uploader.store.body import CHUNK, Body, held_back
from uploader.store.http.refused import EndOfObjectError, classified, code_of, status_of
from uploader.store.s3.dialect import VERBS, request_of, understood
from uploader.store.s3.errors import of_refusal
from uploader.store.s3.reader import BodyReader
from uploader.store.s3.way import keys_in, known_way
from uploader.store.s3.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.place import Place, Way
    from uploader.store.s3.client import Sdk

_OPERATIONS = {
    "abort_multipart_upload": "AbortMultipartUpload",
    "complete_multipart_upload": "CompleteMultipartUpload",
    "copy_object": "CopyObject",
    "create_multipart_upload": "CreateMultipartUpload",
    "delete_object": "DeleteObject",
    "get_object": "GetObject",
    "head_bucket": "HeadBucket",
    "head_object": "HeadObject",
    "list_multipart_uploads": "ListMultipartUploads",
    "list_objects_v2": "ListObjectsV2",
    "list_parts": "ListParts",
    "put_object": "PutObject",
    "upload_part": "UploadPart",
    "upload_part_copy": "UploadPartCopy",
}  #: that are used here, as boto3 and as the API call them


#: What an answer must tell. By the SDK one that is cut off inside its headers passes for a whole
#: one: to `http.client` the end of the connection is the end of the headers.
_TOLD = {
    "put_object": ("ETag",),
    "upload_part": ("ETag",),
    "head_object": ("ETag", "ContentLength"),
    "create_multipart_upload": ("UploadId",),
    "copy_object": ("CopyObjectResult",),
    "upload_part_copy": ("CopyPartResult",),
}

_UNEXPLAINED = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN)


#: Answers that send the asker to another endpoint.
_ELSEWHERE = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)


class Bucket:
    """A bucket: what is frequent goes by wire, all else by the SDK, loaded when it is needed."""

    def __init__(self, place: Place) -> None:
        """Find the way to the bucket of `place`; nothing is asked yet.

        Raises:
            AuthError: no such profile, or files of configuration or certificates that cannot be
                read.
        """
        self.name = place.destination.bucket
        self._place = place
        self._sdk_lock = threading.Lock()
        self._opened_sdk: Sdk | None = None
        way, keys = known_way(place, os.environ), keys_in(place, os.environ)
        self.way: Way | None = way or self._sdk.way()
        self._wire: Wire | None = None
        if self.way:
            given = (lambda: keys) if keys else self._sdk.keys
            self._wire = Wire(self.way, given, place.options.stall_timeout)

    @property
    def endpoint(self) -> str:
        """The URL of the service."""
        return self.way.endpoint if self.way else self._sdk.endpoint

    def url(self, key: str | None) -> str:
        """Return the URL of an object, for messages."""
        return f"s3://{self.name}" + (f"/{key}" if key else "")

    def ask(self, operation: str, key: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Make a request and return its answer.

        Args:
            operation: as boto3 calls it, as put_object.
            key: of the object; None if it is about the bucket.
            parameters: as boto3 takes them.

        Raises:
            StoreError: any of them; see `classified`.
        """
        if operation in VERBS and (wire := self._wire):
            return self._by_wire(wire, operation, key, parameters)
        return self._by_sdk(operation, key, parameters)

    def send(self, operation: str, key: str, body: Body, **parameters: Any) -> dict[str, Any]:
        """Make a request with a body; as `ask`.

        Raises:
            DamagedError: the body is not what was logged; its end was not sent.
        """
        if wire := self._wire:
            return self._by_wire(wire, operation, key, parameters, body)
        return self._by_sdk(operation, key, parameters, body)

    def head(self, key: str, **parameters: Any) -> dict[str, Any]:
        """Describe an object.

        The answer to a HEAD has no body, so a refusal does not say why: expired credentials and a
        missing permission look alike. It is then asked for as a GET of one byte.

        Raises:
            NotFoundError: it is not there; a refusal is never taken for that.
        """
        try:
            return self.ask("head_object", key, ChecksumMode="ENABLED", **parameters)
        except PermanentError as error:
            if isinstance(error, NotFoundError) or status_of(error) not in _UNEXPLAINED:
                raise
            self._explain(key, parameters)
            self._forget_wire()  # the SDK can read it after all, in a way that only it knows
            raise TransientError(str(error)) from error

    def head_whole(self, key: str, **parameters: Any) -> dict[str, Any]:
        """Describe an object as `head` does, from an answer that was certainly not cut off.

        It is read as a GET of one byte, which comes after all that is said about the object. (An
        empty object has no byte to read.)

        Raises:
            NotFoundError: it is not there.
        """
        try:
            answer = self.ask(
                "get_object", key, Range="bytes=0-0", ChecksumMode="ENABLED", **parameters
            )
        except EndOfObjectError:
            return self.head(key, **parameters)
        if not b"".join(self.portions(key, answer)) or "ETag" not in answer:
            msg = f"GetObject of {self.url(key)}: the answer was cut off"
            raise TransientError(msg)
        _, _, size = str(answer.get("ContentRange", "")).partition("/")
        return {**answer, "ContentLength": int(size) if size else answer["ContentLength"]}

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield every page of a listing."""
        called, url = _OPERATIONS[operation], self.url(parameters.get("Key"))
        yield from self._sdk.pages(operation, called, url, Bucket=self.name, **parameters)

    def portions(self, key: str, answer: dict[str, Any], most: int = CHUNK) -> Iterator[bytes]:
        """Yield the bytes that an answer to get_object brings, up to `most` at a time."""
        yield from self._sdk.portions(answer["Body"], self.url(key), most)

    def close(self) -> None:
        """Let go of connections."""
        if self._opened_sdk:
            self._opened_sdk.close()
        if self._wire:
            self._wire.close()

    @property
    def _sdk(self) -> Sdk:
        with self._sdk_lock:  # threads may need it at once
            if self._opened_sdk is None:
                from uploader.store.s3.client import Sdk  # half a second of CPU

                self._opened_sdk = Sdk(self._place)
            return self._opened_sdk

    def _by_sdk(
        self, operation: str, key: str | None, parameters: dict[str, Any], body: Body | None = None
    ) -> dict[str, Any]:
        called, url = _OPERATIONS[operation], self.url(key)
        given = {"Bucket": self.name, **parameters, **({} if key is None else {"Key": key})}
        reader = BodyReader(body) if body else None
        if reader:
            given["Body"] = reader
        try:
            answer = self._sdk.ask(operation, called, url, **given)
        except StoreError:
            if reader and reader.error:
                raise reader.error from None
            raise
        _require_told(operation, answer, url)
        return answer

    def _by_wire(
        self,
        wire: Wire,
        operation: str,
        key: str | None,
        parameters: dict[str, Any],
        body: Body | None = None,
    ) -> dict[str, Any]:
        """Make a request past the SDK; what only that can deal with is its own from then on."""
        called, url = _OPERATIONS[operation], self.url(key)
        request = request_of(operation, parameters)
        sent = held_back(body) if body else [request.document]
        if request.method in ("PUT", "POST"):
            size = body.size if body else len(request.document)
            request.headers["content-length"] = str(size)
        with classified(called, url, of_refusal):
            said = wire.request(request.method, key or "", request.query, request.headers, sent)
            if said.status in _ELSEWHERE or b"AuthorizationHeaderMalformed" in said.body:
                self._forget_wire()
                return self._by_sdk(operation, key, parameters, body)
            answer = understood(operation, said)
        _require_told(operation, answer, url)
        return answer

    def _forget_wire(self) -> None:
        """Leave everything to the SDK from now on; another thread may still be at it."""
        wire, self._wire, self.way = self._wire, None, None
        if wire:
            wire.close()

    def _explain(self, key: str, parameters: dict[str, Any]) -> None:
        """Raise what a GET is refused with."""
        try:
            answer = self.ask("get_object", key, Range="bytes=0-0", **parameters)
        except PermanentError as error:
            if code_of(error) == "InvalidRange":  # an empty object
                return
            raise
        answer["Body"].close()


def _require_told(operation: str, answer: dict[str, Any], url: str) -> None:
    if not all(key in answer for key in _TOLD.get(operation, ())):
        msg = f"{_OPERATIONS[operation]} of {url}: the answer was cut off"
        raise TransientError(msg)
