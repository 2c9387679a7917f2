"""Send a very large object as parts at once, each an object of its own, and put them together.

- A session takes one part after another; so many parts at once are what fills a fast line.
- A part is created, never replaced, and what is put together are the very versions that arrived.
- `compose` takes 32 objects, and what it makes can be put together again: with 1,000 parts it is
  done in two stages. The last is the one that makes the object, under its condition.
- Parts are in a folder that no listing of ours shows, by upload and by session. They go when the
  object is there; `uploader gc` takes those that a lost machine left behind.
- XML multipart uploads have no condition for their completion, so they cannot create.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uploader import clock
from uploader.errors import ConflictError, NotFoundError, PermanentError
from uploader.model import ID_LENGTH, SentPart
from uploader.store.base import ObjectMeta
from uploader.store.gcs.resources import info_of
from uploader.store.names import FREE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.model import Part
    from uploader.store.body import Body
    from uploader.store.gcs.bucket import Bucket
    from uploader.store.gcs.resources import Arguments
    from uploader.store.names import Condition

FOLDER = ".uploader-parts/"  #: below the prefix
SESSION = "parts:"  #: how the sessions begin of which the parts are objects
AT_ONCE = 8  #: parts that are removed together: each takes a round trip, and no more
SOURCES_MAX = 32  #: of one compose request; "Composite objects" of the documentation

Source = tuple[str, str]  #: name and generation


class Composing:
    """Objects of one bucket that are made of parts."""

    def __init__(self, bucket: Bucket, prefix: str, arguments: Arguments) -> None:
        """Keep parts below `prefix`."""
        self._bucket, self._with = bucket, arguments
        self._folder = f"{prefix}{FOLDER}"

    @staticmethod
    def begin(upload_id: str) -> str:
        """Return a new session; its parts may be cut otherwise than those of an earlier one."""
        return f"{SESSION}{upload_id}-{secrets.token_hex(4)}"

    def put_part(self, session: str, part: Part, body: Body) -> SentPart:
        """Store a part; one that is there already is the same."""
        key = f"{self._folder_of(session)}{part.number:05}"
        made = self._created(key, lambda resource: self._bucket.insert(resource, body, FREE), body)
        return SentPart(part.number, part.size, made)

    def sent_parts(self, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """Return the recorded parts that are there, in the version that was recorded."""
        folder = self._folder_of(session)
        there = {
            (found["name"].removeprefix(folder), int(found["size"]), str(found["generation"]))
            for found in self._bucket.list(folder)
        }
        return [part for part in recorded if (f"{part.number:05}", part.size, part.mark) in there]

    def complete(
        self,
        session: str,
        parts: list[SentPart],
        resource: dict[str, Any],
        condition: Condition,
    ) -> Any:
        """Put the parts together, and return the object's resource.

        Raises:
            ConflictError: the condition does not hold.
            NotFoundError: a part is not there.
        """
        folder = self._folder_of(session)
        sources = [(f"{folder}{part.number:05}", part.mark) for part in parts]
        stage = 0
        while len(sources) > SOURCES_MAX:
            stage += 1
            groups = [sources[at : at + SOURCES_MAX] for at in range(0, len(sources), SOURCES_MAX)]
            sources = [
                self._together(f"{folder}stage-{stage}-{number:05}", group)
                for number, group in enumerate(groups)
            ]
        return self._bucket.compose(sources, resource, condition)

    def tidy(self, session: str) -> None:
        """Remove the parts of a session whose object is there."""
        with suppress(PermanentError):  # not ours to delete any more: the object counts
            self.remove(session)

    def remove(self, session: str) -> None:
        """Remove the parts of a session."""
        self._delete(self._bucket.list(self._folder_of(session)))

    def remove_all(self, upload_id: str) -> None:
        """Remove the parts of every session of an upload."""
        self._delete(self._bucket.list(f"{self._folder}{upload_id}-"))

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """Remove the parts of sessions of which none came for `older_than` seconds.

        Returns what was removed, for people to read.
        """
        sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for found in self._bucket.list(self._folder):
            name = found["name"].removeprefix(self._folder).partition("/")[0]
            sessions[f"{SESSION}{name}"].append(found)
        swept = []
        for session, parts in sessions.items():
            age = clock.now() - max(part["timeCreated"].timestamp() for part in parts)
            if session not in keep and age >= older_than:
                self._delete(parts)
                url = self._bucket.url(self._folder_of(session))
                swept.append(f"{url} ({len(parts)} parts of an upload, the last {age:.0f} s ago)")
        return swept

    def _folder_of(self, session: str) -> str:
        return f"{self._folder}{session.removeprefix(SESSION)}/"

    def _together(self, key: str, sources: list[Source]) -> Source:
        return key, self._created(key, lambda to: self._bucket.compose(sources, to, FREE), None)

    def _created(self, key: str, create: Any, body: Body | None) -> str:
        """Create a part, and return its generation; that of an earlier try's counts too."""
        crc32c = body.crc32c if body else None
        meta = ObjectMeta(key.removeprefix(self._folder)[:ID_LENGTH], 0, crc32c, None, "", 0)
        try:
            resource = create(self._with.resource(key, meta, crc32c))
        except ConflictError:
            resource = self._bucket.get(key)
        return info_of(key, resource, self._bucket.url(key)).etag

    def _delete(self, found: Iterable[dict[str, Any]]) -> None:
        def delete(part: dict[str, Any]) -> None:
            with suppress(NotFoundError):
                self._bucket.delete(part["name"], str(part["generation"]))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(delete, found))
