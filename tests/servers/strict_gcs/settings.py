"""Say how the server is to behave; a test changes it while it runs."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Settings:
    """What a test may set, at the start by options and later by the control path.

    `token`: requests need `Authorization: Bearer <token>`.
    `user_project`: requests need `userProject=<user_project>`, as of a bucket whose requester pays.
    `deny`: permissions that nobody has, such as `storage.objects.delete`.
    `rewrite_bytes`: what one call of a rewrite copies, None for any size.
    `session_lifetime`: seconds.
    `check_at_begin`: a session's preconditions are checked when it begins too.
    """

    token: str | None = None
    user_project: str | None = None
    deny: list[str] = dataclasses.field(default_factory=list)
    rewrite_bytes: int | None = None
    session_lifetime: float = 7 * 24 * 3600.0
    check_at_begin: bool = False

    def change(self, changes: dict[str, Any]) -> None:
        """Set some of it.

        Raises:
            KeyError: there is no such setting.
        """
        for name, value in changes.items():
            if name not in vars(self):
                raise KeyError(name)
            setattr(self, name, value)
