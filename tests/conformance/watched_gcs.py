"""Opens GCS stores behind a proxy that sees their requests, for what only GCS has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conformance.watched import Watched, standing_before
from tests.servers.requests import Kind
from tests.servers.strict_gcs.running import StrictGcs
from uploader.drain.steps import Link
from uploader.model import PutMode, SymlinkMode
from uploader.store import limits
from uploader.store.base import ObjectStore
from uploader.store.gcs.sessions import Session
from uploader.store.testing.given import Artifact

POINTER = "pointer.symlink"
MULTIPLE = 256 << 10  #: bytes; of what a session keeps


class WatchedGcs(Watched):
    """One bucket of the strict server, by way of a proxy."""

    scheme: ClassVar[str] = "gs"

    def described(self, name: str, **more: Any) -> dict[str, Any]:
        """Return what the service says about an object: its resource."""
        blob = self.client.bucket(self.bucket).blob(self.key(name))
        blob.reload(projection="full", **more)
        described: dict[str, Any] = blob._properties
        return described

    def acl_of(self, name: str) -> set[tuple[str, str]]:
        """Return who gets at an object, and as what."""
        return {(one["entity"], one["role"]) for one in self.described(name)["acl"]}

    def generation(self, name: str) -> str:
        """Return the generation that an object has now."""
        return str(self.described(name)["generation"])

    def put_by_another(self, name: str, content: bytes) -> None:
        """Put an object as somebody else, past the proxy."""
        self.client.bucket(self.bucket).blob(self.key(name)).upload_from_string(content)

    def remove_by_another(self, name: str) -> None:
        """Remove an object as somebody else, past the proxy."""
        self.client.bucket(self.bucket).blob(self.key(name)).delete()

    def all_names(self) -> set[str]:
        """Return the names below this test's prefix, those of parts and of trials too."""
        found = self.client.list_blobs(self.bucket, prefix=f"{self.prefix}/")
        return {blob.name.removeprefix(f"{self.prefix}/") for blob in found}

    def put_parts_at_once(
        self, store: ObjectStore, name: str, mode: PutMode = PutMode.CREATE
    ) -> Artifact:
        """Store an artifact of parts that are objects."""
        with parts_at_once():
            artifact, _ = self.put_parts(store, name, mode)
        return artifact

    def conditions(self, kind: Kind) -> list[str | None]:
        """Return under what generation each of this test's requests of a kind was made."""
        return [one.query.get("ifGenerationMatch") for one in self.requests(kind)]


@contextmanager
def parts_at_once() -> Iterator[None]:
    """Let nothing be too small to go in parts at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GCS", replace(limits.GCS, in_order_below=0))
        yield


@contextmanager
def watching_gcs(server: StrictGcs, directory: Path) -> Iterator[WatchedGcs]:
    """Stand before the strict server."""
    with standing_before(server, directory, WatchedGcs) as watched:
        yield watched


def secret_of(session: str) -> str:
    """Return what makes the URI of a session a secret."""
    return Session.of(session).uri.rpartition("upload_id=")[2]


def write_all_ways(watched: WatchedGcs, store: ObjectStore) -> dict[str, Artifact]:
    """Store a whole object, one by a session, one of parts at once, a copy, and a pointer."""
    small = watched.artifacts.of(b"the bytes of a whole object")
    small.put(store, "whole")
    large, _ = watched.put_parts(store, "large")
    made = {
        "whole": small,
        "large": large,
        "composed": watched.put_parts_at_once(store, "composed"),
        "copy": Artifact(small.blob, small.content),
        POINTER: watched.artifacts.of(store.full_name("whole").encode()),
    }
    store.copy("whole", "copy", PutMode.CREATE, made["copy"].meta)
    Link("whole", "pointer", PutMode.CREATE, SymlinkMode.POINTER, made[POINTER].meta).perform(store)
    return made
