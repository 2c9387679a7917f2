"""Hold the GCS store to the contract of every store, at services that are not alike.

None that can be started here is GCS; each is held to what it does faithfully (see `tests/servers`):

- Our own strict server: everything, with preconditions wherever the API has them.
- fake-gcs-server: put, head, read, list, delete, copy. A session forgets what it has, and an object
  put together has wrong bytes: so the trial finds neither of use, and a large file goes whole.
- gcp-storage-emulator: sessions. It ignores preconditions: what is create-only is refused there.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import cache
from urllib.parse import urlencode

import pytest

from tests.servers.gcs_server import GcsServer
from tests.servers.strict_gcs.running import StrictGcs
from uploader.errors import PermanentError
from uploader.model import PutMode, SymlinkMode
from uploader.place import Capabilities, Place
from uploader.store import limits
from uploader.store.base import ObjectStore
from uploader.store.opening import limits_of, open_store
from uploader.store.testing.conformance import Opened, StoreConformance
from uploader.store.testing.given import Artifacts, content_of
from uploader.store.testing.links import Links, Pointers
from uploader.store.testing.race import Race, put_whole
from uploader.store.testing.whole import ReadingAndListing, WholeObjects


@cache
def bucket_at(server: GcsServer) -> str:
    """Return the one bucket for all tests at a service."""
    return server.make_bucket()


@cache
def capabilities_at(server: GcsServer) -> Capabilities | None:
    """Return what a service honours; to find it out for every test would take most of the time."""
    store = open_store(Place.of(url_at(server)))
    try:
        return store.prepare(first=True)
    finally:
        store.close()


def url_at(server: GcsServer) -> str:
    """Return the URL of a place that nobody uses, with everything that is not secret in it."""
    options = {"endpoint": server.endpoint}
    if server.ca_bundle:
        options["ca_bundle"] = str(server.ca_bundle)
    return f"gs://{bucket_at(server)}/runs/{uuid.uuid4().hex[:8]}?{urlencode(options)}"


class Bucket(Opened):
    """A fresh prefix for each test."""

    more = ""  #: options of the URL

    @pytest.fixture
    def destination(self, server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return an empty place, and have what it needs in the environment."""
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        return url_at(server) + self.more

    @pytest.fixture
    def prepared(self, server: GcsServer, destination: str) -> Place:
        """The destination, with what its service honours."""
        return replace(Place.of(destination), capabilities=capabilities_at(server))


class TestStrictServer(Bucket, StoreConformance):
    """Large objects by a session."""

    in_order = True
    lists_sessions = False

    @pytest.fixture
    def server(self, strict_gcs: StrictGcs) -> GcsServer:
        """Return our own."""
        return strict_gcs


class TestStrictServerWithPartsAtOnce(Bucket, StoreConformance):
    """Large objects put together from parts that are objects."""

    knows_sessions = False

    @pytest.fixture
    def server(self, strict_gcs: StrictGcs, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
        """Return our own; nothing is too small to go in parts at once."""
        monkeypatch.setattr(limits, "GCS", replace(limits.GCS, in_order_below=0))
        return strict_gcs


class TestFakeGcsServer(Bucket, WholeObjects, ReadingAndListing, Links, Pointers, Race):
    """Whole objects; a copy is made by looking first, since it knows no condition on one."""

    more = "&allow_unsafe_create=yes"
    races = (put_whole,)

    @pytest.fixture
    def server(self, fake_gcs: GcsServer) -> GcsServer:
        """Return fake-gcs-server."""
        return fake_gcs

    def test_what_it_cannot_do_is_found_out(self, prepared: Place) -> None:
        """So no large file is begun in a way that would lose it."""
        can = prepared.capabilities
        assert can
        assert (can.conditional_put, can.conditional_replace) == (True, True)
        assert (can.sessions, can.compose, can.conditional_copy, can.crc32c) == (False,) * 4
        assert limits_of(prepared).whole_max == limits.GCS.object_max


class TestGcpStorageEmulator(Bucket, StoreConformance):
    """Sessions, across processes; everything that is create-only is made by looking first."""

    more = "&allow_unsafe_create=yes"
    races = ()
    in_order = True
    lists_sessions = False

    @pytest.fixture
    def server(self, gcs_emulator: GcsServer) -> GcsServer:
        """Return gcp-storage-emulator."""
        return gcs_emulator

    def test_what_it_cannot_do_is_found_out(self, prepared: Place) -> None:
        """It ignores every precondition; what it has of a session it tells."""
        can = prepared.capabilities
        assert can
        assert (can.sessions, can.crc32c, can.whole_crc32c) == (True, True, True)
        assert not can.conditional_put
        assert not can.conditional_complete
        assert not can.compose

    def test_nothing_is_created_there_unless_collisions_are_accepted(
        self, destination: str, prepared: Place, artifacts: Artifacts
    ) -> None:
        """Neither whole nor by a session."""
        place = replace(
            Place.of(destination.removesuffix(self.more)), capabilities=prepared.capabilities
        )
        store = open_store(place)
        for create in (artifacts.of(b"content").put, artifacts.of(b"content").begin):
            with pytest.raises(PermanentError, match="does not honour create-only requests"):
                create(store, "name")
        artifacts.of(b"content").put(store, "name", PutMode.OVERWRITE)
        assert content_of(store, "name") == b"content"
        store.close()

    def test_a_session_that_was_removed_is_lost(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """It is not: cancelling is answered with 501, so the session ends when it is too old."""
        artifact, (first, *_) = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        sent = [artifact.send(store, "large", session, first)]
        artifact.abort(another, "large", session)
        assert store.sent_parts("large", session, sent) == sent

    @pytest.mark.parametrize("form", SymlinkMode)
    def test_a_symlink_made_again_is_success(
        self, store: ObjectStore, artifacts: Artifacts, form: SymlinkMode, makes: bool
    ) -> None:
        """As a copy it is not: a rewrite loses the metadata, and so whose copy it is."""
        if form is not SymlinkMode.COPY:
            super().test_a_symlink_made_again_is_success(store, artifacts, form, makes)
            return
        artifacts.of(b"content").put(store, "target")
        link = replace(artifacts.of(b"").meta, crc32c=None)
        store.copy("target", "latest", PutMode.CREATE, link)
        assert store.head("latest").upload_id != link.upload_id
