"""Makes, lists and removes the buckets of a benchmark, by a client that is not measured."""

from __future__ import annotations

import abc
import http.client
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from tests.bench import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.gcs_server import GcsServer
    from tests.servers.s3_server import S3Server

DELETED = 1000  #: keys that one request of S3 may delete
LIMIT = 60.0  #: seconds for a request


class Room(abc.ABC):
    """A server with room for buckets."""

    scheme: ClassVar[str]
    server: Any

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return str(self.server.endpoint)

    @abc.abstractmethod
    def environment(self) -> dict[str, str]:
        """Return all variables by which clients of any make find the server, and trust it."""

    @abc.abstractmethod
    def make(self, bucket: str) -> None:
        """Make a bucket, and put an object: a server may make room for a bucket at its first."""

    @abc.abstractmethod
    def sizes(self, bucket: str, prefix: str) -> list[int]:
        """Return the bytes of each object whose name begins so."""

    @abc.abstractmethod
    def remove(self, bucket: str) -> None:
        """Remove a bucket and all that is in it."""


@dataclass(frozen=True)
class S3Room(Room):
    """One of S3."""

    server: S3Server
    scheme = "s3"

    def environment(self) -> dict[str, str]:
        """See `Room.environment`."""
        return services.environment(self.server)

    def make(self, bucket: str) -> None:
        """See `Room.make`."""
        client = self.server.client()
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="first", Body=b"")

    def sizes(self, bucket: str, prefix: str) -> list[int]:
        """See `Room.sizes`."""
        return [found["Size"] for found in self._objects(bucket, prefix)]

    def remove(self, bucket: str) -> None:
        """See `Room.remove`."""
        client = self.server.client()
        keys = [{"Key": found["Key"]} for found in self._objects(bucket, "")]
        for first in range(0, len(keys), DELETED):
            some = {"Objects": keys[first : first + DELETED], "Quiet": True}
            client.delete_objects(Bucket=bucket, Delete=some)
        client.delete_bucket(Bucket=bucket)

    def _objects(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.server.client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", [])


@dataclass(frozen=True)
class GcsRoom(Room):
    """One of Google Cloud Storage; `account` is a file of credentials for it, if it wants some."""

    server: GcsServer
    account: Path | None = None
    scheme = "gs"

    def environment(self) -> dict[str, str]:
        """See `Room.environment`."""
        found = self.server.environment()
        if self.account is None:
            return found
        del found["STORAGE_EMULATOR_HOST"]  # with it Google's library would show no credentials
        found["GOOGLE_APPLICATION_CREDENTIALS"] = str(self.account)
        return {**found, "REQUESTS_CA_BUNDLE": str(self.server.ca_bundle)}

    def make(self, bucket: str) -> None:
        """See `Room.make`."""
        made = self.server.client().create_bucket(bucket)
        made.blob("first").upload_from_string(b"")

    def sizes(self, bucket: str, prefix: str) -> list[int]:
        """See `Room.sizes`."""
        return [blob.size for blob in self.server.client().list_blobs(bucket, prefix=prefix)]

    def remove(self, bucket: str) -> None:
        """See `Room.remove`: past the library, which takes seconds for thousands."""
        connection = self._connected()
        for blob in list(self.server.client().list_blobs(bucket)):
            connection.request("DELETE", f"/storage/v1/b/{bucket}/o/{quote(blob.name, safe='')}")
            connection.getresponse().read()
        connection.close()
        self.server.client().bucket(bucket).delete()

    def _connected(self) -> http.client.HTTPConnection:
        where = urlsplit(self.endpoint).netloc
        if self.server.ca_bundle is None:
            return http.client.HTTPConnection(where, timeout=LIMIT)
        trusting = ssl.create_default_context(cafile=self.server.ca_bundle)
        return http.client.HTTPSConnection(where, timeout=LIMIT, context=trusting)
