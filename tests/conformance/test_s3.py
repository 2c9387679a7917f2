"""Hold the S3 store to the contract of every store, at services that are not alike."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import cache
from urllib.parse import urlencode

import pytest

from tests.servers.s3_server import S3Server
from uploader.place import Capabilities, Place
from uploader.store.opening import open_store
from uploader.store.testing.conformance import StoreConformance
from uploader.store.testing.race import put_whole


@cache
def bucket_at(server: S3Server) -> str:
    """Return the one bucket for all tests at a service; a new one takes it a while."""
    return server.make_bucket()


@cache
def capabilities_at(server: S3Server) -> Capabilities | None:
    """Return what a service honours; to find it out for every test would take most of the time."""
    store = open_store(Place.of(url_at(server)))
    try:
        return store.prepare(first=True)
    finally:
        store.close()


def url_at(server: S3Server) -> str:
    """Return the URL of a place that nobody uses, with everything that is not secret in it."""
    options = {"endpoint": server.endpoint}
    if server.ca_bundle:
        options["ca_bundle"] = str(server.ca_bundle)
    return f"s3://{bucket_at(server)}/runs/{uuid.uuid4().hex[:8]}?{urlencode(options)}"


class S3Conformance(StoreConformance):
    """A fresh prefix for each test."""

    @pytest.fixture
    def destination(self, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return an empty place, and have the credentials for it in the environment."""
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        return url_at(server)

    @pytest.fixture
    def prepared(self, server: S3Server, destination: str) -> Place:
        """The destination, with what its service honours."""
        return replace(Place.of(destination), capabilities=capabilities_at(server))


class TestSeaweedFS(S3Conformance):
    """The default service: real signatures, real checksums, real durability."""

    rounds = 5  # the loser of a put there waits a second for its lock
    races = (put_whole,)  # 4.48: of 8 racing completions up to 8 are answered with 200
    tells_backslash = False  # 4.48: it is listed as a slash

    @pytest.fixture
    def server(self, seaweed: S3Server) -> S3Server:
        """Return SeaweedFS."""
        return seaweed


class TestSeaweedFSByTLS(S3Conformance):
    """The same service behind TLS, whose authority only the option names."""

    rounds = 1
    races = (put_whole,)  # as above
    tells_backslash = False  # as above

    @pytest.fixture
    def server(self, seaweed_tls: S3Server) -> S3Server:
        """Return SeaweedFS, by https."""
        return seaweed_tls


class TestMiniStack(S3Conformance):
    """A second service: no CRC32C of the whole, but it decides a race of completions."""

    @pytest.fixture
    def server(self, ministack: S3Server) -> S3Server:
        """Return MiniStack."""
        return ministack
