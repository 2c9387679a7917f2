"""Hold the S3 store to the contract of every store, at two services that are not alike."""

from __future__ import annotations

import uuid
from urllib.parse import urlencode

import pytest

from tests.servers.s3_server import S3Server
from uploader.store.testing.conformance import StoreConformance


class S3Conformance(StoreConformance):
    """A fresh prefix for each test."""

    @pytest.fixture(scope="class")
    def bucket(self, server: S3Server) -> str:
        """Return a bucket of the class's own."""
        return server.make_bucket()

    @pytest.fixture
    def destination(self, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return the URL of an empty place, with everything that is not secret in it."""
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        options = {"endpoint": server.endpoint}
        if server.ca_bundle:
            options["ca_bundle"] = str(server.ca_bundle)
        return f"s3://{bucket}/runs/{uuid.uuid4().hex}?{urlencode(options)}"


class TestSeaweedFS(S3Conformance):
    """The default service: real signatures, real checksums, real durability."""

    rounds = 5  # the loser of a put there waits a second for its lock
    completes_atomically = False  # 4.48: of 8 racing completions up to 8 are answered with 200
    tells_backslash = False  # 4.48: it is listed as a slash

    @pytest.fixture(scope="class")
    def server(self, seaweed: S3Server) -> S3Server:
        """Return SeaweedFS."""
        return seaweed


class TestSeaweedFSByTLS(S3Conformance):
    """The same service behind TLS, whose authority only the option names."""

    rounds = 1
    completes_atomically = False  # as above
    tells_backslash = False  # as above

    @pytest.fixture(scope="class")
    def server(self, seaweed_tls: S3Server) -> S3Server:
        """Return SeaweedFS, by https."""
        return seaweed_tls


class TestMiniStack(S3Conformance):
    """A second service: no CRC32C of the whole, but it decides a race of completions."""

    @pytest.fixture(scope="class")
    def server(self, ministack: S3Server) -> S3Server:
        """Return MiniStack."""
        return ministack
