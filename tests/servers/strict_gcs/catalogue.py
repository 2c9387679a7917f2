"""Know which objects there are; decide who wins a name, under one lock.

- Every change is a line in the journal before it is answered: a server that was killed has its
  finished objects and its sessions again when it is started on the same folder. Nothing is fsynced:
  a test kills processes, not machines.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs import resources
from tests.servers.strict_gcs.contents import Content, Contents, Piece
from tests.servers.strict_gcs.errors import ApiError, no_bucket, no_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.strict_gcs.conditions import Conditions

Record = dict[str, Any]


class Journal:
    """Lines of JSON, only ever added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records = self._read()
        self._file = path.open("ab", buffering=0)

    def take_records(self) -> list[Record]:
        """Return what it had when it was opened, once."""
        records, self._records = self._records, []
        return records

    def add(self, record: Record) -> None:
        """Write a line; the caller holds the catalogue's lock."""
        self._file.write(json.dumps(record).encode() + b"\n")

    def _read(self) -> list[Record]:
        """Read every whole line; what a kill left of another is cut off."""
        if not self._path.exists():
            return []
        whole, _, rest = self._path.read_bytes().rpartition(b"\n")
        if rest:
            self._path.write_bytes(whole + b"\n" if whole else b"")
        return [json.loads(line) for line in whole.splitlines()]


@dataclasses.dataclass(frozen=True)
class Stored:
    """An object: its resource and its content."""

    resource: dict[str, Any]
    content: Content


@dataclasses.dataclass
class Bucket:
    """A bucket: its resource, its live objects, their names in order."""

    resource: dict[str, Any]
    objects: dict[str, Stored] = dataclasses.field(default_factory=dict)
    names: list[str] = dataclasses.field(default_factory=list)

    def set(self, name: str, stored: Stored) -> Stored | None:
        """Put an object under a name, return the one it replaces."""
        before = self.objects.get(name)
        if before is None:
            # By code point, which is the order of the names' UTF-8 bytes.
            bisect.insort(self.names, name)
        self.objects[name] = stored
        return before

    def remove(self, name: str) -> Stored:
        """Take an object away."""
        del self.names[bisect.bisect_left(self.names, name)]
        return self.objects.pop(name)


class Catalogue:
    """All buckets."""

    def __init__(self, journal: Journal, contents: Contents) -> None:
        self.lock = threading.RLock()
        self._journal = journal
        self._contents = contents
        self._buckets: dict[str, Bucket] = {}
        self._generation = 0

    def bucket(self, name: str) -> Bucket:
        """Return a bucket.

        Raises:
            ApiError: 404.
        """
        with self.lock:
            if name not in self._buckets:
                raise no_bucket()
            return self._buckets[name]

    def make_bucket(self, name: str, resource: dict[str, Any]) -> dict[str, Any]:
        """Make a bucket.

        Raises:
            ApiError: 409, it is there.
        """
        with self.lock:
            if name in self._buckets:
                raise ApiError(409, "conflict", "The bucket you tried to create already exists.")
            self._record({"is": "bucket", "resource": resource})
        return resource

    def remove_bucket(self, name: str) -> None:
        """Remove an empty bucket.

        Raises:
            ApiError: 404, or 409 where it is not empty.
        """
        with self.lock:
            if self.bucket(name).objects:
                raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
            self._record({"is": "no bucket", "name": name})

    def live(self, bucket: str, name: str) -> Stored | None:
        """Return the object of that name, None if there is none."""
        with self.lock:
            return self.bucket(bucket).objects.get(name)

    def get(self, bucket: str, name: str, generation: str | None = None) -> Stored:
        """Return an object, of that generation if one is given.

        Raises:
            ApiError: 404. Only the live generation is kept.
        """
        stored = self.live(bucket, name)
        if stored is None or generation not in {None, stored.resource["generation"]}:
            raise no_object(bucket, name)
        return stored

    def insert(
        self,
        draft: resources.Draft,
        content: Content,
        conditions: Conditions,
        *,
        allow_replace: Callable[[], None],
        session: str | None = None,
    ) -> Stored:
        """Make an object, if the preconditions hold at this moment; the content is then its own.

        Raises:
            ApiError: 412; 404 for the bucket; or what `allow_replace` raises, which is called
                where an object would be replaced.
        """
        with self.lock:
            live = self.live(draft.bucket, draft.name)
            conditions.require(live.resource if live else None)
            if live:
                allow_replace()
            generation = self._next_generation()
            resource = resources.made(draft, generation, content)
            stored = Stored(resource, content)
            self._record(_object_record(stored, session))
            return stored

    def update(
        self, bucket: str, name: str, change: Callable[[Stored], dict[str, Any]]
    ) -> dict[str, Any]:
        """Replace an object's resource by what `change` makes of it; what that raises passes."""
        with self.lock:
            stored = self.get(bucket, name)
            resource = change(stored)
            self._record(_object_record(Stored(resource, stored.content), None))
            return resource

    def remove(self, bucket: str, name: str, allow: Callable[[Stored], None]) -> None:
        """Remove an object unless `allow` raises.

        Raises:
            ApiError: 404, or what `allow` raises.
        """
        with self.lock:
            allow(self.get(bucket, name))
            self._record({"is": "no object", "bucket": bucket, "name": name})

    def record(self, record: Record) -> None:
        """Write down something of others'."""
        with self.lock:
            self._journal.add(record)

    def replay(self, record: Record) -> bool:
        """Do again what a record says; False if it is none of ours."""
        if record["is"] == "object":
            stored = _stored_of(record)
            before = self._buckets[stored.resource["bucket"]].set(stored.resource["name"], stored)
            self._generation = max(self._generation, int(stored.resource["generation"]))
            if before and before.content.pieces != stored.content.pieces:
                self._contents.drop(before.content.pieces)
        elif record["is"] == "no object":
            removed = self._buckets[record["bucket"]].remove(record["name"])
            self._contents.drop(removed.content.pieces)
        elif record["is"] == "bucket":
            self._buckets[record["resource"]["name"]] = Bucket(record["resource"])
        elif record["is"] == "no bucket":
            del self._buckets[record["name"]]
        else:
            return False
        return True

    def files(self) -> set[str]:
        """Return the files that objects name."""
        stored = (each for bucket in self._buckets.values() for each in bucket.objects.values())
        return {piece.file for each in stored for piece in each.content.pieces}

    def _record(self, record: Record) -> None:
        self._journal.add(record)
        self.replay(record)

    def _next_generation(self) -> int:
        self._generation = max(self._generation + 1, time.time_ns() // 1000)
        return self._generation


def _object_record(stored: Stored, session: str | None) -> Record:
    # Not `asdict`, which copies to any depth: it took a tenth of a small put.
    content = {**vars(stored.content), "pieces": [vars(each) for each in stored.content.pieces]}
    record = {"is": "object", "resource": stored.resource, "content": content}
    return {**record, "session": session} if session else record


def _stored_of(record: Record) -> Stored:
    content = dict(record["content"])
    content["pieces"] = tuple(Piece(**piece) for piece in content["pieces"])
    return Stored(record["resource"], Content(**content))
