"""Make what a store is given in a test: artifacts with their checksums, in files as the spool's."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uploader.checksum import crc32c
from uploader.errors import NotFoundError
from uploader.model import Part, PutMode
from uploader.store.base import ObjectMeta
from uploader.store.body import Body

if TYPE_CHECKING:
    from pathlib import Path

    from uploader.model import Receipt, SentPart
    from uploader.store.base import ObjectStore

MTIME = 1_700_000_000.25  #: seconds since the epoch; of every artifact made here


@dataclass(frozen=True)
class Artifact:
    """Spooled bytes, and the upload that is to bring them across."""

    blob: Path
    content: bytes
    upload_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def meta(self) -> ObjectMeta:
        """What goes beside the bytes."""
        return ObjectMeta(self.upload_id, len(self.content), crc32c(self.content), MTIME, "run", 3)

    @property
    def body(self) -> Body:
        """The whole of it, with the checksum that was taken when it was spooled."""
        return Body(str(self.blob), 0, len(self.content), crc32c(self.content))

    def part_body(self, part: Part) -> Body:
        """One part of it, with the checksum of that part."""
        data = self.content[part.offset : part.offset + part.size]
        return Body(str(self.blob), part.offset, part.size, crc32c(data))

    def put(self, store: ObjectStore, name: str, mode: PutMode = PutMode.CREATE) -> Receipt:
        """Store it whole."""
        return store.put(name, self.body, mode, self.meta)

    def begin(self, store: ObjectStore, name: str, mode: PutMode = PutMode.CREATE) -> str:
        """Open a session for it."""
        return store.begin(name, mode, self.meta)

    def send(self, store: ObjectStore, name: str, session: str, part: Part) -> SentPart:
        """Store one part of it."""
        return store.put_part(name, session, part, self.part_body(part))

    def complete(
        self,
        store: ObjectStore,
        name: str,
        session: str,
        sent: list[SentPart],
        mode: PutMode = PutMode.CREATE,
    ) -> Receipt:
        """Make it visible, of its parts."""
        return store.complete(name, session, sent, mode, self.meta, whole=self.body)

    def abort(self, store: ObjectStore, name: str, session: str | None) -> None:
        """Give it up."""
        store.abort(name, session, self.upload_id)


class Artifacts:
    """Artifacts in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        """Keep the blobs in `directory`."""
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def of(self, content: bytes) -> Artifact:
        """Spool these bytes."""
        blob = self._directory / secrets.token_hex(16)
        blob.write_bytes(content)
        return Artifact(blob, content)

    def for_parts(self, store: ObjectStore) -> tuple[Artifact, list[Part]]:
        """Spool two parts of the least size that the store takes, and a short one after them."""
        size = max(1 << 20, store.limits.part_min)
        artifact = self.of(secrets.token_bytes(2 * size) + b"the last part may be short")
        ends = [(1, 0, size), (2, size, size), (3, 2 * size, len(artifact.content) - 2 * size)]
        return artifact, [Part(*end) for end in ends]


def content_of(store: ObjectStore, name: str) -> bytes:
    """Return an object's bytes."""
    return b"".join(store.read(name))


def is_there(store: ObjectStore, name: str) -> bool:
    """Tell whether an object is visible."""
    try:
        store.head(name)
    except NotFoundError:
        return False
    return True


def names_in(store: ObjectStore, prefix: str = "") -> list[str]:
    """Return the names of all visible objects, in order."""
    return sorted(info.name for info in store.objects(prefix))


def unfinished(store: ObjectStore) -> list[str]:
    """Remove, and return, what uploads have left behind."""
    return store.sweep(set(), older_than=0)
