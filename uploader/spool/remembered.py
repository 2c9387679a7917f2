"""Remember what a spool uploads to, and how: the table `spool`, keys and values.

Nothing secret is ever stored here: credentials come from the environment, a profile, or the role.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from uploader import url
from uploader.config import Options, fitting
from uploader.errors import DestinationMismatchError, NotASpoolError, SpoolDamagedError
from uploader.place import Capabilities
from uploader.spool.rows import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from uploader.spool.journal import Journal


T = TypeVar("T")


class Remembered:
    """What one spool remembers."""

    def __init__(self, journal: Journal, directory: Path) -> None:
        """Read and write in `journal`'s database; `directory` is for messages."""
        self._journal = journal
        self._directory = directory

    def get(self, key: str) -> str | None:
        """Return a value; None if there is none."""
        rows = self._journal.rows("SELECT value FROM spool WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def number(self, key: str) -> int | None:
        """Return a value that is a number."""
        return self._read(key, None, int)

    def put(self, key: str, value: str) -> None:
        """Store a value."""
        self._journal.execute(
            "INSERT INTO spool (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    @property
    def options(self) -> Options:
        """How it uploads."""
        return self._read("options", Options(), lambda text: Options().changed_by(json.loads(text)))

    @property
    def ambient(self) -> dict[str, str]:
        """What the environment said about where the bucket is, when the destination was given."""
        return self._read("ambient", {}, _texts)

    def add_ambient(self, found: Mapping[str, str]) -> None:
        """Remember what the environment says now; what it does not say stays as it was.

        Not a URL with credentials in it: it would be stored in the clear.
        """
        before = self.ambient
        after = {**before, **{key: value for key, value in found.items() if not _secret(value)}}
        if after != before:
            self.put("ambient", json.dumps(after))

    @property
    def capabilities(self) -> Capabilities | None:
        """What the destination was found to honour; None if it was not tried yet."""
        return self._read("capabilities", None, Capabilities.from_text)

    @capabilities.setter
    def capabilities(self, found: Capabilities) -> None:
        self.put("capabilities", found.as_text())

    def settle(
        self,
        destination: str | None,
        options: Mapping[str, Any],
        environment: Mapping[str, Any],
        limits: Mapping[str, int | None],
    ) -> None:
        """Store what is given and new, all or nothing; the caller holds `init.lock`.

        `environment` is options too, under those given; what does not fit is left out.

        Raises:
            DestinationMismatchError: another destination than the one remembered.
            NotASpoolError: none is remembered and none given: its making was cut short.
            ValueError: a bad option.
        """
        before = self._read("destination", None, lambda text: str(url.parse(text)))
        if destination is not None and before not in (None, destination):
            msg = (
                f"spool {self._directory} uploads to {before}, not to {destination}; "
                "use one spool for each destination"
            )
            raise DestinationMismatchError(msg)
        if destination is None and before is None:
            msg = (
                f"not a spool yet: the making of {self._directory} was cut short; run: "
                f"uploader init --spool {self._directory} --destination URL"
            )
            raise NotASpoolError(msg)
        scheme = url.parse(destination or str(before)).scheme
        changed_options = self.options.changed_by({**fitting(environment, scheme), **options})
        changed_options.require_fit(scheme)
        settled = {
            "destination": destination,
            "options": json.dumps(changed_options.as_json()),
            **limits,
        }
        changed = {
            key: str(value)
            for key, value in settled.items()
            if value is not None and self.get(key) != str(value)
        }
        if changed:
            with self._journal.transaction():
                for key, value in changed.items():
                    self.put(key, value)

    def _read(self, key: str, otherwise: T, read: Callable[[str], T]) -> T:
        """Return what `read` makes of a value; if there is none, `otherwise`.

        Raises:
            SpoolDamagedError: the value is not what was written, or a newer version wrote it.
        """
        value = self.get(key)
        try:
            return otherwise if value is None else read(value)
        except UNREADABLE as error:
            msg = (
                f"what the spool {self._directory} remembers of its {key} cannot be read: "
                f"{error!s:.200}. Nothing was changed; a newer version may have written it; else "
                "put it right in the table spool of spool.db"
            )
            raise SpoolDamagedError(msg) from error


def _texts(text: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in json.loads(text).items()}


def _secret(value: str) -> bool:
    return "@" in value.partition("://")[2]
