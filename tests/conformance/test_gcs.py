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
from uploader.place import Capabilities, Place
from uploader.store import limits
from uploader.store.opening import open_store
from uploader.store.testing.conformance import StoreConformance


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


class GCSConformance(StoreConformance):
    """A fresh prefix for each test."""

    @pytest.fixture
    def destination(self, server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return an empty place, and have what it needs in the environment."""
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        return url_at(server)

    @pytest.fixture
    def prepared(self, server: GcsServer, destination: str) -> Place:
        """The destination, with what its service honours."""
        return replace(Place.of(destination), capabilities=capabilities_at(server))


class TestStrictServer(GCSConformance):
    """Large objects by a session."""

    in_order = True
    lists_sessions = False

    @pytest.fixture
    def server(self, strict_gcs: StrictGcs) -> GcsServer:
        """Return our own."""
        return strict_gcs


class TestStrictServerWithPartsAtOnce(GCSConformance):
    """Large objects put together from parts that are objects."""

    knows_sessions = False

    @pytest.fixture
    def server(self, strict_gcs: StrictGcs, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
        """Return our own; nothing is too small to go in parts at once."""
        monkeypatch.setattr(limits, "GCS", replace(limits.GCS, in_order_below=0))
        return strict_gcs
