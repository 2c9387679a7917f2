"""Hold what the handlers share: the buckets, the sessions, who may do what, the counts."""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs import resources
from tests.servers.strict_gcs.catalogue import Catalogue, Journal
from tests.servers.strict_gcs.conditions import Conditions
from tests.servers.strict_gcs.contents import Content, Contents
from tests.servers.strict_gcs.errors import (
    ApiError,
    forbidden,
    invalid,
    no_credentials,
    wrong_credentials,
)
from tests.servers.strict_gcs.sessions import Session, Sessions
from tests.servers.strict_gcs.wire import Answer, Request
from tests.servers.strict_gcs.xml_uploads import Uploads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.strict_gcs.catalogue import Stored
    from tests.servers.strict_gcs.settings import Settings


class Service:
    """The data in a folder, and the settings."""

    def __init__(self, folder: Path, settings: Settings, scheme: str) -> None:
        self.settings = settings
        self.contents = Contents(folder / "contents")
        journal = Journal(folder / "journal")
        self.catalogue = Catalogue(journal, self.contents)
        self.sessions = Sessions(self.catalogue, self.contents)
        self.xml_uploads = Uploads()
        self.counts = Counts()
        self.rewrites: dict[str, int] = {}
        self._scheme = scheme
        for record in journal.take_records():
            self.catalogue.replay(record)
            self.sessions.replay(record)
        self.contents.sweep(self.catalogue.files() | self.sessions.find_persisted())

    def allow(self, permission: str) -> None:
        """Refuse what the settings deny.

        Raises:
            ApiError: 403.
        """
        if permission in self.settings.deny:
            raise forbidden(permission)

    def require_caller(self, request: Request) -> None:
        """Hold a request to the token and the project that pays.

        Raises:
            ApiError: 401; 400 or 403 for the project.
        """
        self.require_token(request)
        project = self.settings.user_project
        told = request.query.get("userProject") or request.headers.get("x-goog-user-project")
        if project and not told:
            message = "Bucket is a requester pays bucket but no user project provided."
            raise invalid(message, "required")
        if project and told != project:
            raise ApiError(403, "forbidden", f"No access to the user project {told}")

    def require_token(self, request: Request, *, needed: bool = True) -> None:
        """Hold a request to the token. Where none is needed, a wrong one is refused all the same.

        Raises:
            ApiError: 401.
        """
        told = request.headers.get("authorization")
        if self.settings.token is None or (told is None and not needed):
            return
        if told is None:
            raise no_credentials()
        if told != f"Bearer {self.settings.token}":
            raise wrong_credentials()

    def store(
        self,
        request: Request,
        draft: resources.Draft,
        content: Content,
    ) -> Stored:
        """Make an object of a content, which is dropped if it cannot be.

        Raises:
            ApiError: 412, 403, 404.
        """
        try:
            return self.insert(draft, content, Conditions.of(request.query))
        except ApiError:
            self.contents.drop(content.pieces)
            raise

    def insert(
        self,
        draft: resources.Draft,
        content: Content,
        conditions: Conditions,
        session: Session | None = None,
    ) -> Stored:
        """Make an object; replacing one needs the permission to delete.

        Raises:
            ApiError: 412, 403, 404.
        """
        return self.catalogue.insert(
            draft,
            content,
            conditions,
            allow_replace=lambda: self.allow("storage.objects.delete"),
            session=session.id if session else None,
        )

    def told(self, request: Request, resource: dict[str, Any]) -> Answer:
        """Answer with an object's resource."""
        answer = in_json(self.shown(request, resource))
        answer.headers["ETag"] = resource["etag"]
        return answer

    def shown(self, request: Request, resource: dict[str, Any]) -> dict[str, Any]:
        """Return what this client sees of an object's resource."""
        full = request.query.get("projection") == "full"
        return resources.shown(resource, self.origin(request), full=full)

    def origin(self, request: Request) -> str:
        """Say where the client found us: links and session URIs lead back that way."""
        return f"{self._scheme}://{request.headers.get('host', '')}"


def in_json(told: Any) -> Answer:
    """Answer in JSON."""
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    return Answer(headers=headers, body=json.dumps(told).encode())


def read_json(body: bytes) -> dict[str, Any]:
    """Read a body that is an object of JSON; an empty one is an empty one.

    Raises:
        ApiError: 400.
    """
    try:
        read = json.loads(body or b"{}")
    except ValueError:
        raise invalid("Parse Error", "parseError") from None
    if not isinstance(read, dict):
        raise invalid("Parse Error", "parseError")
    return read


@dataclasses.dataclass
class Counts:
    """How many requests of each kind came, and the bytes of their bodies, broken ones too."""

    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    bytes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    _lock: Any = dataclasses.field(default_factory=threading.Lock)

    def add(self, kind: str, received: int) -> None:
        """Count one."""
        with self._lock:
            self.requests[kind] += 1
            self.bytes[kind] += received

    def told(self) -> dict[str, Any]:
        """Return both."""
        with self._lock:
            return {"requests": dict(self.requests), "bytes": dict(self.bytes)}

    def clear(self) -> None:
        """Begin again."""
        with self._lock:
            self.requests.clear()
            self.bytes.clear()
