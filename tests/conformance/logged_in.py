"""Log in to a strict GCS server by TLS, which takes one token at a time; nothing is made easier.

- A server of the test's own checks each login with the public half of a key made just now, and
  tells the strict server which token is good.
- Where the SDK has an address of its own (to act as another account) it is led there by a proxy:
  it goes the way it would take, and nothing leaves this machine.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conformance.watched_gcs import parts_at_once
from tests.servers.strict_gcs.running import StrictGcs, strict_gcs_running
from tests.servers.tokens import IAM, Key, Tokens
from tests.servers.tunnel import Tunnel, tunnelling
from uploader.model import PutMode
from uploader.place import Capabilities, Place
from uploader.store.base import ObjectStore
from uploader.store.gcs import composing
from uploader.store.opening import open_store
from uploader.store.testing.given import Artifact, Artifacts, content_of, names_in

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
FIRST = "the first token, which no login gives"
SOON = 1  #: seconds; a token that ends so soon is renewed before each request

FOREIGN = ("GOOGLE_", "CLOUDSDK_", "STORAGE_", "UPLOADER_", "REQUESTS_", "CURL_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Scene:
    """A bucket behind TLS, a server of tokens, a proxy; and a folder with the account's file."""

    service: StrictGcs
    tokens: Tokens
    tunnel: Tunnel
    bucket: str
    folder: Path
    patch: pytest.MonkeyPatch
    prefix: str
    opened: list[ObjectStore] = field(default_factory=list)

    @property
    def artifacts(self) -> Artifacts:
        """Make what is put."""
        return Artifacts(self.folder / "blobs")

    def place(self, **options: Any) -> Place:
        """Return what opens the bucket, with certificates of both servers."""
        given = {
            "endpoint": self.service.endpoint, "ca_bundle": self.folder / "trusted.pem", **options,
        }  # fmt: skip
        place = Place.of(f"gs://{self.bucket}/{self.prefix}", given)
        endpoint = str(given["endpoint"])
        return replace(place, capabilities=Capabilities(endpoint, compose=True))

    def open(self, **options: Any) -> ObjectStore:
        """Return a store; the account's file is named by an option, if nothing else is said."""
        if not options.pop(VARIABLE, None):
            options.setdefault("credentials_file", self.file())
        self.opened.append(open_store(self.place(**options)))
        return self.opened[-1]

    def file(self) -> Path:
        """Return the account's file."""
        return self.tokens.file(self.folder / "account.json")

    def let_tokens_end_soon(self) -> None:
        """Let each be good for one request; so no two may be under way at once."""
        self.tokens.lifetime = SOON
        self.patch.setattr(composing, "AT_ONCE", 1)

    def by_proxy(self, there: str) -> None:
        """Let all requests go by the proxy, which knows the way to `there`."""
        for name in ("https_proxy", "HTTPS_PROXY"):
            self.patch.setenv(name, self.tunnel.endpoint)
        for name in ("no_proxy", "NO_PROXY"):
            self.patch.delenv(name, raising=False)
        way = there.rpartition("/")[2]
        self.tunnel.ways[way] = way


@dataclass(frozen=True)
class Servers:
    """What is started once for all tests."""

    service: StrictGcs
    bucket: str
    authority: trustme.CA
    trusted: bytes  #: certificates of both
    key: Key


NUMBERS = itertools.count()


@contextmanager
def serving(folder: Path) -> Iterator[Servers]:
    """Have a strict server by TLS, with a bucket, and an authority for the server of tokens."""
    authority = trustme.CA()
    with strict_gcs_running(folder, token=FIRST, tls=True) as process:
        server = process.server
        bucket = server.make_bucket()
        assert server.ca_bundle
        trusted = server.ca_bundle.read_bytes() + authority.cert_pem.bytes()
        yield Servers(server, bucket, authority, trusted, Key())
        server.client().close()


@contextmanager
def logging_in(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """Have an environment that says nothing about Google, and does not let anything leave."""
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    (tmp_path / "trusted.pem").write_bytes(servers.trusted)
    tokens = Tokens(servers.service, servers.authority, servers.key)
    with tunnelling({f"{IAM}:443": tokens.endpoint.rpartition("/")[2]}) as tunnel:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, tunnel.endpoint)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "127.0.0.1")
        prefix = f"prefix-{next(NUMBERS)}"
        made = (servers.service, tokens, tunnel, servers.bucket, tmp_path, monkeypatch, prefix)
        scene = Scene(*made)
        try:
            yield scene
        finally:
            for store in scene.opened:
                store.close()
            tokens.end()


def use_all(scene: Scene, store: ObjectStore) -> None:
    """Do all that a store does: put, session, parts at once, copy, look, list, read, delete."""
    small = scene.artifacts.of(b"small")
    small.put(store, "small")
    in_parts(scene, store, "large")
    with parts_at_once():
        in_parts(scene, store, "composed")
    store.copy("small", "copy", PutMode.CREATE, Artifact(small.blob, small.content).meta)
    assert store.head("copy").size == len(b"small")
    assert names_in(store) == ["composed", "copy", "large", "small"]
    assert content_of(store, "small") == b"small"
    store.delete("small")
    assert names_in(store) == ["composed", "copy", "large"]


def in_parts(scene: Scene, store: ObjectStore, name: str) -> None:
    """Store an artifact of three parts, and read it again."""
    artifact, parts = scene.artifacts.for_parts(store)
    session = artifact.begin(store, name)
    sent = [artifact.send(store, name, session, part) for part in parts]
    assert store.sent_parts(name, session, sent)
    artifact.complete(store, name, session, sent)
    assert content_of(store, name) == artifact.content
