"""Opens stores behind a proxy that sees their requests, for what only S3 has, or only GCS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from tests.servers.faults import Fault
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request
from uploader.model import PutMode, Receipt
from uploader.place import Capabilities, Place
from uploader.store.base import ObjectStore
from uploader.store.opening import open_store
from uploader.store.testing.given import Artifact, Artifacts

if TYPE_CHECKING:
    from tests.servers.gcs_server import GcsServer
    from tests.servers.s3_server import S3Server

MIB = 1 << 20
PART = 5 * MIB  #: bytes; the least that S3 takes


class Watched:
    """One bucket of one service, by way of a proxy; of S3, unless a subclass says otherwise."""

    scheme: ClassVar[str] = "s3"

    def __init__(self, server: S3Server | GcsServer, proxy: FaultProxy, directory: Path) -> None:
        """Make a bucket, and find out what the service honours."""
        self.proxy = proxy
        self.client = server.client()
        self.bucket = server.make_bucket()
        self._directory = directory
        self._prefixes = (f"prefix-{number}" for number in itertools.count())
        self.prefix = "trial"
        self._opened: list[ObjectStore] = []
        self.capabilities = Capabilities()
        self.capabilities = self.open(tried=False).prepare(first=True) or Capabilities()
        self.begin_test()

    def begin_test(self) -> None:
        """Forget the requests so far, break nothing, and use a prefix that nobody has used."""
        self.close()
        self.prefix = next(self._prefixes)
        self.artifacts = Artifacts(self._directory / self.prefix)
        self.forget()
        self.proxy.decide = lambda _: None

    def open(
        self, *, tried: bool = True, can: Mapping[str, Any] | None = None, **options: Any
    ) -> ObjectStore:
        """Return a store of this test's prefix; `can` says what it takes the service for."""
        known = replace(self.capabilities, **(can or {})) if tried else None
        self._opened.append(open_store(replace(self.place(**options), capabilities=known)))
        return self._opened[-1]

    def place(self, **options: Any) -> Place:
        """Return what this test's prefix is opened with."""
        url = f"{self.scheme}://{self.bucket}/{self.prefix}"
        place = Place.of(url, {"endpoint": self.proxy.endpoint, **options})
        return replace(place, capabilities=self.capabilities)

    def forget(self) -> None:
        """Count requests from here on."""
        self._before = len(self.proxy.requests)

    def close(self) -> None:
        """Close the stores that were opened."""
        while self._opened:
            self._opened.pop().close()

    def requests(self, kind: Kind) -> list[Request]:
        """Return this test's requests of a kind."""
        return [one for one in self.proxy.requests[self._before :] if one.kind == kind]

    def only(self, kind: Kind) -> Request:
        """Return this test's one request of a kind."""
        (request,) = self.requests(kind)
        return request

    def key(self, name: str) -> str:
        """Return an artifact's key."""
        return f"{self.prefix}/{name}"

    def described(self, name: str, **more: Any) -> dict[str, Any]:
        """Return what the service says about an object."""
        answer: dict[str, Any] = self.client.head_object(
            Bucket=self.bucket, Key=self.key(name), **more
        )
        return answer

    def put_by_another(self, name: str, content: bytes) -> None:
        """Put an object as somebody else, past the proxy."""
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=content)

    def put_parts(
        self, store: ObjectStore, name: str, mode: PutMode = PutMode.CREATE
    ) -> tuple[Artifact, Receipt]:
        """Store an artifact in three parts."""
        artifact, parts = self.artifacts.for_parts(store)
        session = artifact.begin(store, name, mode)
        sent = [artifact.send(store, name, session, part) for part in parts]
        return artifact, artifact.complete(store, name, session, sent, mode)

    def just_before(self, kind: Kind, name: str, content: bytes) -> None:
        """Have somebody else put an object at the moment at which a request of a kind arrives."""

        def decide(request: Request) -> Fault | None:
            if request.kind == kind:
                self.proxy.decide = lambda _: None
                self.put_by_another(name, content)
            return None

        self.proxy.decide = decide


Of = TypeVar("Of", bound=Watched)


@contextmanager
def watching(server: S3Server, directory: Path) -> Iterator[Watched]:
    """Stand before a service of S3, with its credentials in the environment."""
    with standing_before(server, directory, Watched) as watched:
        yield watched


@contextmanager
def standing_before(server: S3Server | GcsServer, directory: Path, kind: type[Of]) -> Iterator[Of]:
    """Stand before a service, with what it needs in the environment."""
    with pytest.MonkeyPatch.context() as patch, FaultProxy(server.endpoint) as proxy:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        watched = kind(server, proxy, directory)
        yield watched
        watched.close()
