"""Handle `/_control`: what only a test asks of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.strict_gcs.errors import invalid
from tests.servers.strict_gcs.service import in_json, read_json

if TYPE_CHECKING:
    from tests.servers.strict_gcs.service import Service
    from tests.servers.strict_gcs.wire import Answer, Request


def tell(service: Service, request: Request) -> Answer:
    """Tell the settings, the counts, and the sessions that are open."""
    settings = {"settings": vars(service.settings), "sessions": service.sessions.open_sessions()}
    return in_json({**settings, **service.counts.told()})


def change(service: Service, request: Request) -> Answer:
    """Change settings, expire sessions (`expire_sessions`), begin to count again (`clear_counts`).

    Raises:
        ApiError: 400, there is no such setting.
    """
    wanted = read_json(request.body.read())
    if wanted.pop("expire_sessions", False):
        service.sessions.expire_all()
    if wanted.pop("clear_counts", False):
        service.counts.clear()
    try:
        service.settings.change(wanted)
    except KeyError as unknown:
        raise invalid(f"There is no setting {unknown}") from None
    return tell(service, request)
