"""Ask what is in a bucket, past the proxy and past the uploader, alike at S3 and at GCS.

Where the two differ is said here, once; what only one of them has is a test's own to say.
"""

from __future__ import annotations

import abc
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tests.servers.requests import Kind, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from tests.servers.s3_server import S3Server
    from tests.servers.strict_gcs.running import StrictGcs

#: How the names begin, below the prefix, of parts that are objects.
PARTS = ".uploader-parts/"


@dataclass(frozen=True)
class Described:
    """What a service says about an object."""

    size: int  #: bytes
    crc32c: int | None  #: None where the service keeps none of the whole
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Bucket(abc.ABC):
    """One bucket, and a client of the test's own."""

    name: str
    client: Any

    @abc.abstractmethod
    def describe(self, key: str) -> Described:
        """Describe an object; it must be there."""

    @abc.abstractmethod
    def read(self, key: str) -> bytes:
        """Return an object's bytes; it must be there."""

    @abc.abstractmethod
    def objects(self) -> set[str]:
        """Return the names of all objects, those of a probe or of parts too."""

    @abc.abstractmethod
    def unfinished(self) -> list[str]:
        """Return what is left of uploads that were neither completed nor aborted."""


class S3Bucket(Bucket):
    """A bucket of S3."""

    def describe(self, key: str) -> Described:
        """See `Bucket.describe`."""
        said = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        return Described(
            said["ContentLength"], _number(said.get("ChecksumCRC32C")), said["Metadata"]
        )

    def read(self, key: str) -> bytes:
        """See `Bucket.read`."""
        with self.client.get_object(Bucket=self.name, Key=key)["Body"] as body:
            return bytes(body.read())

    def objects(self) -> set[str]:
        """See `Bucket.objects`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    def unfinished(self) -> list[str]:
        """See `Bucket.unfinished`."""
        said = self.client.list_multipart_uploads(Bucket=self.name)
        return [found["Key"] for found in said.get("Uploads", [])]


class GcsBucket(Bucket):
    """A bucket of GCS.

    Nobody can list open sessions there; they cost nothing, and end by themselves after a week.
    """

    def describe(self, key: str) -> Described:
        """See `Bucket.describe`."""
        blob = self._blob(key)
        blob.reload()
        return Described(blob.size, _number(blob.crc32c), blob.metadata or {})

    def read(self, key: str) -> bytes:
        """See `Bucket.read`."""
        return bytes(self._blob(key).download_as_bytes())

    def objects(self) -> set[str]:
        """See `Bucket.objects`."""
        return {blob.name for blob in self.client.list_blobs(self.name)}

    def unfinished(self) -> list[str]:
        """See `Bucket.unfinished`: parts that are objects."""
        return [key for key in self.objects() if PARTS in key]

    def _blob(self, key: str) -> Any:
        return self.client.bucket(self.name).blob(key)


@dataclass(frozen=True)
class Service(abc.ABC):
    """A running service, and what of it a test of both has to know.

    Attributes:
        scheme: of URLs of destinations.
        part: bytes; the least that a part has.
        too_late: statuses of a request of a session that another process has brought to its end.
    """

    server: Any
    scheme: ClassVar[str]
    part: ClassVar[int]
    too_late: ClassVar[frozenset[int]]

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return str(self.server.endpoint)

    def environment(self) -> dict[str, str]:
        """Return what the uploader needs in its environment to be let in."""
        given: dict[str, str] = self.server.environment()
        return given

    @abc.abstractmethod
    def make_bucket(self) -> Bucket:
        """Make a bucket that nobody else uses."""

    @abc.abstractmethod
    def number_of(self, request: Request, part_size: int) -> int | None:
        """Return the number of the part that a request brings; None if it brings none."""

    @abc.abstractmethod
    def brings(self, request: Request, key: str, upload_id: str) -> str:
        """Return the session by which a request brings bytes of an upload, "" if it does not."""


class S3Service(Service):
    """A service that speaks S3."""

    server: S3Server
    scheme = "s3"
    part = 5 << 20
    too_late = frozenset({404, 412})

    def make_bucket(self) -> Bucket:
        """See `Service.make_bucket`."""
        return S3Bucket(self.server.make_bucket(), self.server.client())

    def number_of(self, request: Request, part_size: int) -> int | None:
        """See `Service.number_of`: it is said."""
        return request.part if request.kind == Kind.PART else None

    def brings(self, request: Request, key: str, upload_id: str) -> str:
        """See `Service.brings`."""
        return request.session if (request.kind, request.key) == (Kind.PART, key) else ""


class GcsService(Service):
    """The strict server, which speaks the JSON API of GCS.

    The request that brings a session's last byte makes the object: the completion brings the last
    256 KiB or less. Made again it is answered with what it made (200), though that may have been
    replaced since.
    """

    server: StrictGcs
    scheme = "gs"
    part = 1 << 20
    too_late = frozenset({200, 404, 410, 412})

    def make_bucket(self) -> Bucket:
        """See `Service.make_bucket`."""
        return GcsBucket(self.server.make_bucket(), self.server.client())

    def number_of(self, request: Request, part_size: int) -> int | None:
        """See `Service.number_of`: its name's end, or that of the part in which its offset is."""
        if request.kind == Kind.PUT and PARTS in request.key:
            return int(request.key.rpartition("/")[2])
        if request.kind == Kind.PART and request.part is not None:
            return request.part // part_size + 1
        return None

    def brings(self, request: Request, key: str, upload_id: str) -> str:
        """See `Service.brings`: the session, or the folder of its parts."""
        if request.kind in {Kind.PART, Kind.COMPLETE} and request.key == key:
            return request.session
        folder = request.key.rpartition("/")[0]
        return folder if request.kind == Kind.PUT and f"{PARTS}{upload_id}-" in folder else ""


def service_of(scheme: str, request: pytest.FixtureRequest) -> Service:
    """Return the service that stands for a kind of store in the tests of all kinds.

    SeaweedFS checks signatures and checksums; for GCS it is a strict server of the tests' own,
    since no emulator has sessions with preconditions.
    """
    if scheme == "s3":
        return S3Service(request.getfixturevalue("seaweed"))
    return GcsService(request.getfixturevalue("strict_gcs"))


def _number(crc32c: str | None) -> int | None:
    return None if crc32c is None else int.from_bytes(base64.b64decode(crc32c), "big")
