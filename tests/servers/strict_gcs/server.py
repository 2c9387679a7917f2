"""Listen, a thread for each connection; find each request's handler, and answer what it refuses."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
import traceback
from typing import TYPE_CHECKING

from tests.servers.strict_gcs import control, copying, objects, uploads, xml_uploads
from tests.servers.strict_gcs.errors import ApiError, BrokenOffError, no_route
from tests.servers.strict_gcs.wire import Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.wire import Request

    Handler = Callable[..., Answer]

#: Connections that wait to be taken.
_BACKLOG = 1024


@dataclasses.dataclass(frozen=True)
class Route:
    """What handles a method and a path; "*" in a pattern is a name, given to the handler.

    `kind` is what it is counted as.
    """

    kind: str
    method: str
    pattern: tuple[str, ...]
    handle: Handler

    def names(self, method: str, path: list[str]) -> list[str] | None:
        """Return the names in the path if it is for this one."""
        if method != self.method or len(path) != len(self.pattern):
            return None
        pairs = list(zip(self.pattern, path, strict=True))
        if any(want not in {"*", got} for want, got in pairs):
            return None
        return [got for want, got in pairs if want == "*"]


def _route(kind: str, method: str, pattern: str, handle: Handler) -> Route:
    return Route(kind, method, tuple(pattern.split("/")), handle)


_OBJECT = "storage/v1/b/*/o/*"

_ROUTES = (
    _route("insert", "POST", "upload/storage/v1/b/*/o", uploads.insert),
    _route("session", "PUT", "upload/storage/v1/b/*/o", uploads.go_on),
    _route("cancel", "DELETE", "upload/storage/v1/b/*/o", uploads.cancel),
    _route("get", "GET", _OBJECT, objects.get),
    _route("get", "GET", f"download/{_OBJECT}", objects.download),
    _route("list", "GET", "storage/v1/b/*/o", objects.list_objects),
    _route("delete", "DELETE", _OBJECT, objects.delete),
    _route("patch", "PATCH", _OBJECT, objects.patch),
    _route("acl", "GET", f"{_OBJECT}/acl", objects.list_acl),
    _route("rewrite", "POST", f"{_OBJECT}/rewriteTo/b/*/o/*", copying.rewrite),
    _route("copy", "POST", f"{_OBJECT}/copyTo/b/*/o/*", copying.copy),
    _route("compose", "POST", f"{_OBJECT}/compose", copying.compose),
    _route("bucket", "POST", "storage/v1/b", objects.insert_bucket),
    _route("bucket", "GET", "storage/v1/b/*", objects.get_bucket),
    _route("bucket", "DELETE", "storage/v1/b/*", objects.delete_bucket),
    _route("permissions", "GET", "storage/v1/b/*/iam/testPermissions", objects.tell_permissions),
    _route("control", "GET", "_control", control.tell),
    _route("control", "POST", "_control", control.change),
)


def _nowhere(service: Service, request: Request) -> Answer:
    raise no_route()


_NOWHERE = Route("none", "", (), _nowhere)

#: What is below no prefix is the XML API's: a bucket, then a name whose slashes need no encoding.
_XML = Route("xml", "", (), xml_uploads.handle)

#: What the JSON API's paths begin with.
_JSON_API = frozenset({"storage", "upload", "download", "batch"})


class Server:
    """Listens on 127.0.0.1; by TLS if there is a context."""

    def __init__(self, service: Service, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._service = service
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)

    def serve_forever(self) -> None:
        """Take connections."""
        while True:
            connected, _ = self._listener.accept()
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        """Serve a connection until its client is done; one that went away is nobody's fault."""
        try:
            if self._tls:
                connected = self._tls.wrap_socket(connected, server_side=True)
            connection = Connection(connected)
        except OSError:
            connected.close()
            return
        try:
            while request := connection.next_request():
                self._serve_one(connection, request)
        except (OSError, BrokenOffError):
            pass
        finally:
            connection.close()

    def _serve_one(self, connection: Connection, request: Request) -> None:
        """Answer a request, and count it however that goes."""
        route, names = _find(request)
        try:
            connection.send(request, self._answer(request, route, names))
        finally:
            self._service.counts.add(route.kind, request.body.received)

    def _answer(self, request: Request, route: Route, names: list[str]) -> Answer:
        """Answer; BrokenOffError passes."""
        try:
            self._admit(request, route)
            return route.handle(self._service, request, *names)
        except ApiError as refusal:
            return _refusal(refusal)
        except BrokenOffError:
            raise
        except Exception:  # noqa: BLE001 - a fault of this server: its log has it, the client a 500
            traceback.print_exc()
            return _refusal(
                ApiError(500, "backendError", "A fault of the test server; see its log")
            )

    def _admit(self, request: Request, route: Route) -> None:
        """Ask who it is; a session's URI is the right to use it, and the control path is open."""
        if route.kind in {"session", "cancel"}:
            self._service.require_token(request, needed=False)
        elif route.kind != "control":
            self._service.require_caller(request)


def _find(request: Request) -> tuple[Route, list[str]]:
    for route in _ROUTES:
        names = route.names(request.method, request.path)
        if names is not None:
            return route, names
    if len(request.path) > 1 and request.path[0] not in _JSON_API:
        return _XML, [request.path[0], "/".join(request.path[1:])]
    return _NOWHERE, []


def _refusal(refusal: ApiError) -> Answer:
    headers = {"Content-Type": "application/json; charset=UTF-8", **refusal.headers}
    return Answer(refusal.status, headers, refusal.body())
