"""Ask one bucket for one thing at a time; every failure comes out classified."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uploader.errors import NotFoundError, PermanentError, StoreError, TransientError
from uploader.store.s3.dialect import Dialect
from uploader.store.s3.errors import EndOfObjectError, classified, code_of, status_of
from uploader.store.s3.reader import BodyReader, held_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.store.body import Body
    from uploader.store.s3.wire import Wire

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


#: What an answer must tell. One that is cut off inside its headers passes for a whole one: to
#: `http.client` the end of the connection is the end of the headers.
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
    """A bucket, and the client to ask it with."""

    def __init__(self, client: Any, wire: Wire | None, name: str) -> None:
        """Ask the bucket `name` with `client`, or by `wire` what is frequent."""
        self._client = client
        self._wire = wire
        self._dialect = Dialect(client)
        self.name = name

    @property
    def endpoint(self) -> str:
        """The URL of the service."""
        return str(self._client.meta.endpoint_url)

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
            StoreError: any of them; see `errors.classified`.
        """
        if key is not None:
            parameters["Key"] = key
        with classified(_OPERATIONS[operation], self.url(key)):
            answer: dict[str, Any] = getattr(self._client, operation)(
                Bucket=self.name, **parameters
            )
        _require_told(operation, answer, self.url(key))
        return answer

    def send(self, operation: str, key: str, body: Body, **parameters: Any) -> dict[str, Any]:
        """Make a request with a body; as `ask`.

        Raises:
            DamagedError: the body is not what was logged; its end was not sent.
        """
        if wire := self._wire:
            return self._by_wire(wire, operation, key, parameters, body)
        reader = BodyReader(body)
        try:
            return self.ask(operation, key, Body=reader, **parameters)
        except StoreError:
            if reader.error:
                raise reader.error from None
            raise

    def head(self, key: str, **parameters: Any) -> dict[str, Any]:
        """Describe an object.

        The answer to a HEAD has no body, so a refusal does not say why: expired credentials and a
        missing permission look alike. It is then asked for as a GET of one byte.

        Raises:
            NotFoundError: it is not there; a refusal is never taken for that.
        """
        try:
            parameters["ChecksumMode"] = "ENABLED"
            if wire := self._wire:
                return self._by_wire(wire, "head_object", key, parameters)
            return self.ask("head_object", key, **parameters)
        except PermanentError as error:
            if isinstance(error, NotFoundError) or status_of(error) not in _UNEXPLAINED:
                raise
            self._explain(key, parameters)
            raise TransientError(str(error)) from error  # it can be read after all

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
        with classified("GetObject", self.url(key)), answer["Body"] as stream:
            whole = stream.read(1) and "ETag" in answer
        if not whole:
            msg = f"GetObject of {self.url(key)}: the answer was cut off"
            raise TransientError(msg)
        _, _, size = str(answer.get("ContentRange", "")).partition("/")
        return {**answer, "ContentLength": int(size) if size else answer["ContentLength"]}

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield every page of a listing."""
        pages = iter(self._client.get_paginator(operation).paginate(Bucket=self.name, **parameters))
        while True:
            with classified(_OPERATIONS[operation], self.url(parameters.get("Key"))):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()
        if self._wire:
            self._wire.close()

    def _by_wire(
        self,
        wire: Wire,
        operation: str,
        key: str,
        parameters: dict[str, Any],
        body: Body | None = None,
    ) -> dict[str, Any]:
        """Make a request past the SDK; what only that can deal with is its own from then on.

        With a body it is a PUT, without a HEAD.
        """
        called = _OPERATIONS[operation]
        headers, query = self._dialect.request(called, parameters)
        if body:
            headers["content-length"] = str(body.size)
        with classified(called, self.url(key)):
            said = wire.request(
                "PUT" if body else "HEAD", key, query, headers, held_back(body) if body else ()
            )
            if said.status in _ELSEWHERE or b"AuthorizationHeaderMalformed" in said.body:
                self._wire = None  # another thread may still be at it
                wire.close()
                if body:
                    return self.send(operation, key, body, **parameters)
                return self.head(key, **parameters)
            answer = self._dialect.answer(called, said)
        _require_told(operation, answer, self.url(key))
        return answer

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
