"""Ask one bucket for one thing at a time; every failure comes out classified.

Requests are those of the JSON API, version 1; what its reference calls `objects.insert` and so on.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from uploader import clock
from uploader.errors import TransientError
from uploader.store.body import CHUNK, Body, held_back
from uploader.store.gcs.client import Sdk
from uploader.store.gcs.errors import CANCELLED, refused
from uploader.store.gcs.exchange import exchange_of
from uploader.store.gcs.resources import CONTENT_TYPE, FIELDS
from uploader.store.gcs.sdk_errors import classified_of_sdk
from uploader.store.names import FREE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from uploader.place import Place
    from uploader.store.gcs.resources import Arguments
    from uploader.store.http.reply import Answer
    from uploader.store.names import Condition

#: How each operation is asked for.
_METHODS = {
    "insert": "POST",
    "get": "GET",
    "rewrite": "POST",
    "compose": "POST",
    "resumable": "POST",
    "part": "PUT",
    "status": "PUT",
    "cancel": "DELETE",
    "delete": "DELETE",
}

JSON = "application/json; charset=UTF-8"
RESUME_INCOMPLETE = 308  #: what a session answers with until it has everything


class Bucket:
    """A bucket: what is frequent goes past the SDK, the rest by it."""

    def __init__(self, place: Place, arguments: Arguments) -> None:
        """Open the way to the bucket of `place`; nothing is asked yet.

        Raises:
            AuthError: there are no credentials, or they cannot be read.
        """
        self.name = place.destination.bucket
        self._with = arguments
        self._sdk = Sdk(place)
        with classified_of_sdk("open", place.url):
            self._exchange = exchange_of(self._sdk)
        self.endpoint = self._sdk.endpoint
        #: The date of the service's last answer, as HTTP writes it, and when by our clock it came.
        self.dated = ("", 0.0)
        self._uploads = f"{self.endpoint}/upload/storage/v1/b/{quote(self.name, safe='')}/o"

    def url(self, key: str | None) -> str:
        """Return the URL of an object, for messages."""
        return f"gs://{self.name}" + (f"/{key}" if key else "")

    # -- whole objects --------------------------------------------------------------------------

    def insert(self, resource: Mapping[str, Any], body: Body, condition: Condition) -> Any:
        """Make an object in one request, and return its resource.

        Raises:
            ConflictError: the condition does not hold.
            DamagedError: the body is not what was logged; its end was not sent.
        """
        query = {"uploadType": "multipart", "fields": FIELDS, **self._with.of_new}
        boundary = secrets.token_hex(16)  # of which nobody can know that it will not be in the body
        before = (
            f"--{boundary}\r\ncontent-type: {JSON}\r\n\r\n{json.dumps(resource)}\r\n"
            f"--{boundary}\r\ncontent-type: {CONTENT_TYPE}\r\n\r\n"
        ).encode()
        after = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "content-type": f"multipart/related; boundary={boundary}",
            "content-length": str(len(before) + body.size + len(after)),
        }
        url = f"{self._uploads}?{urlencode(query | matching(condition))}"
        return self._asked("insert", resource["name"], url, headers, _framed(before, body, after))

    def get(self, key: str) -> Any:
        """Return an object's resource.

        Raises:
            NotFoundError: it is not there.
        """
        query = urlencode({"fields": FIELDS, **self._with.of_any})
        return self._asked("get", key, f"{self._object(key)}?{query}")

    def rewrite(
        self, source: str, generation: str, resource: Mapping[str, Any], condition: Condition
    ) -> Any:
        """Copy a version of an object inside the service, and return the copy's resource.

        A large one takes several requests, if it changes its place or its storage class.

        Raises:
            NotFoundError: that version is gone.
            ConflictError: the condition does not hold.
        """
        key = str(resource["name"])
        query = {"sourceGeneration": generation, **matching(condition), **self._with.of_copy}
        url = f"{self._object(source)}/rewriteTo{self._path(key)}"
        answer: dict[str, Any] = {}
        while not answer.get("done"):
            token = {"rewriteToken": answer["rewriteToken"]} if "rewriteToken" in answer else {}
            given = urlencode(query | token)
            answer = self._with_document("rewrite", key, f"{url}?{given}", resource)
            if not answer.get("done") and "rewriteToken" not in answer:
                raise TransientError(f"rewrite of {self.url(key)}: the answer was cut off")
        return answer.get("resource", {})

    def compose(
        self, sources: Iterable[tuple[str, str]], resource: Mapping[str, Any], condition: Condition
    ) -> Any:
        """Put objects, by name and generation, together into one; return its resource.

        Raises:
            NotFoundError: one of them is not there.
            ConflictError: the condition does not hold.
        """
        key = str(resource["name"])
        query = urlencode({**matching(condition), **self._with.of_composed})
        document = {
            "sourceObjects": [{"name": name, "generation": mark} for name, mark in sources],
            "destination": {k: v for k, v in resource.items() if k != "name"},
        }
        return self._with_document("compose", key, f"{self._object(key)}/compose?{query}", document)

    def delete(self, key: str, condition: Condition = None) -> None:
        """Remove an object.

        Raises:
            NotFoundError: it is not there.
            ConflictError: the condition does not hold.
        """
        query = urlencode({**matching(condition), **self._with.of_any})
        self._sent("delete", key, f"{self._object(key)}?{query}", {})

    # -- sessions -------------------------------------------------------------------------------

    def start(self, resource: Mapping[str, Any], size: int, condition: Condition) -> str:
        """Open a resumable session for an object of `size` bytes, and return its URI: a secret.

        Raises:
            ConflictError: the condition does not hold, as far as that is looked at now.
        """
        key = str(resource["name"])
        query = {"uploadType": "resumable", **matching(condition), **self._with.of_new}
        headers = {
            "x-upload-content-type": CONTENT_TYPE,
            "x-upload-content-length": str(size),
        }
        url = f"{self._uploads}?{urlencode(query)}"
        said = self._sent("resumable", key, url, *_document(resource, headers))
        if uri := said.headers.get("location", ""):
            return uri
        raise TransientError(f"resumable of {self.url(key)}: the answer does not tell the session")

    def send(
        self, uri: str, key: str, content_range: str, body: Iterable[bytes] = (), size: int = 0
    ) -> Answer:
        """Send bytes to a session, or none to ask it what it has.

        Args:
            uri: of the session.
            key: of the object that it is to become.
            content_range: as `0-524287/1000000`, or `*/1000000`.
            body: the bytes.
            size: how many they are.

        Returns:
            The answer: 308 as long as something is missing, else with the object's resource.

        Raises:
            ConflictError: all is there, and the condition does not hold.
            SessionLostError: there is no such session any more.
        """
        headers = {"content-range": f"bytes {content_range}", "content-length": str(size)}
        return self._sent("part" if size else "status", key, uri, headers, body)

    def cancel(self, uri: str, key: str) -> None:
        """End a session and what it has.

        Raises:
            SessionLostError: there is no such session any more.
        """
        self._sent("cancel", key, uri, {"content-length": "0"})

    # -- by the SDK -----------------------------------------------------------------------------

    def list(self, prefix: str, most: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the resources, in brief, of what begins so, in the order of their names."""
        fields = "items(name,size,crc32c,generation,timeCreated),nextPageToken"
        found = iter(self._sdk.blobs(prefix, fields=fields, max_results=most))
        while True:
            with classified_of_sdk("list", self.url(prefix)):
                blob = _next(found)
            if blob is None:
                return
            yield {
                "name": blob.name, "size": blob.size, "crc32c": blob.crc32c,
                "generation": blob.generation, "timeCreated": blob.time_created,
            }  # fmt: skip

    def portions(self, key: str, offset: int) -> Iterator[bytes]:
        """Yield an object's bytes from `offset`.

        Raises:
            NotFoundError: it is not there.
        """
        url = f"{self._object(key)}?{urlencode({'alt': 'media', **self._with.of_any})}"
        headers = {
            "accept-encoding": "identity",
            **({"range": f"bytes={offset}-"} if offset else {}),
        }
        what = self.url(key)
        with classified_of_sdk("get", what):
            response = self._sdk.session.get(
                url, headers=headers, timeout=self._sdk.timeout, stream=True
            )
        with response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                with classified_of_sdk("get", what):
                    raise refused(response.status_code, response.content)
            chunks = response.iter_content(CHUNK)
            while True:
                with classified_of_sdk("get", what):
                    data = next(chunks, b"")
                if not data:
                    return
                yield data

    def close(self) -> None:
        """Let go of connections."""
        self._exchange.close()
        self._sdk.close()

    # -- requests -------------------------------------------------------------------------------

    def _object(self, key: str) -> str:
        return f"{self.endpoint}/storage/v1{self._path(key)}"

    def _path(self, key: str) -> str:
        return f"/b/{quote(self.name, safe='')}/o/{quote(key, safe='')}"

    def _with_document(self, operation: str, key: str, url: str, document: Any) -> Any:
        return self._asked(operation, key, url, *_document(document, {}))

    def _asked(
        self,
        operation: str,
        key: str,
        url: str,
        headers: Mapping[str, str] = {},
        body: Iterable[bytes] = (),
    ) -> Any:
        """Make a request and return the document that answers it."""
        return self.document_in(self._sent(operation, key, url, headers, body), key)

    def document_in(self, said: Answer, key: str) -> Any:
        """Return the document in an answer."""
        try:
            document = json.loads(said.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise TransientError(f"the answer about {self.url(key)} is no JSON object")
        return document

    def _sent(
        self,
        operation: str,
        key: str,
        url: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] = (),
    ) -> Answer:
        with classified_of_sdk(operation, self.url(key)):
            said = self._exchange.request(_METHODS[operation], url, headers, body)
            if date := said.headers.get("date"):
                self.dated = (date, clock.now())
            done = said.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT)
            going_on = operation in ("part", "status") and said.status == RESUME_INCOMPLETE
            if not done and not going_on and (operation, said.status) != ("cancel", CANCELLED):
                raise refused(said.status, said.body, url)
            return said


def matching(condition: Condition) -> dict[str, str]:
    """Return a condition as the API takes it: generation 0 means that there is no object."""
    if condition is None:
        return {}
    return {"ifGenerationMatch": "0" if condition == FREE else condition}


def _document(document: Any, headers: Mapping[str, str]) -> tuple[dict[str, str], list[bytes]]:
    data = json.dumps(document).encode()
    return {"content-type": JSON, "content-length": str(len(data)), **headers}, [data]


def _framed(before: bytes, body: Body, after: bytes) -> Iterator[bytes]:
    """Yield a body between what frames it, a small one in one piece."""
    waiting, left = before, body.size
    for chunk in held_back(body):
        left -= len(chunk)
        yield waiting + chunk + (after if not left else b"")
        waiting = b""
    if not body.size:
        yield before + after


def _next(found: Iterator[Any]) -> Any:
    """Return the next of what is listed, None at its end.

    An answer that was cut off within its headers has no content. The SDK does not look, and trips.
    """
    try:
        return next(found, None)
    except (AttributeError, KeyError, TypeError) as error:
        raise ConnectionError(f"an answer that is none, or was cut off ({error})") from error
