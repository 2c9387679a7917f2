"""Sets the scene of a crash test against a service with buckets, with a proxy before it.

- The proxy's port is the endpoint that the spool remembers: all that the uploader says passes it.
- What arrived is asked of the service itself, past the proxy, by a client of the test's own.
- Objects that a drain tries the service with are none of the test's: `requests` leaves them out.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.scene import Scene
from uploader import Spool
from uploader.store.trial import is_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.proxy import FaultProxy
    from tests.servers.requests import Kind, Request
    from tests.servers.services import Bucket, Described, Service

PREFIX = "runs"
PAUSE = 0.002  #: seconds between looks; a loop without it would take the proxy's half of the core

_pause = threading.Event()


class BucketScene(Scene):
    """One spool that uploads to one bucket by way of a proxy."""

    def __init__(
        self,
        directory: Path,
        service: Service,
        proxy: FaultProxy,
        bucket: Bucket | None = None,
        **options: Any,
    ) -> None:
        """Use `directory` for what is local; `options` are the spool's."""
        directory.mkdir(exist_ok=True)
        super().__init__(directory)
        self.service = service
        self.bucket = bucket or service.make_bucket()
        self.proxy = proxy
        self._options = {"endpoint": proxy.endpoint, **options}

    def open(self, *, producer: bool = True) -> Spool:
        """Open the spool, making it the first time."""
        url = f"{self.service.scheme}://{self.bucket.name}/{PREFIX}"
        return Spool(self.spool, url, options=self._options, producer=producer)

    def environment(self, *, crash: str = "", faults: str = "") -> dict[str, str]:
        """Return this process's environment with the credentials in it."""
        return {**super().environment(crash=crash, faults=faults), **self.service.environment()}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `uploader …` on the spool; what it says goes to `log`."""
        command = [sys.executable, "-m", "uploader", *arguments, "--spool", str(self.spool)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)

    @property
    def log(self) -> Path:
        """What the started processes said."""
        return self.directory / "log"

    # -- at the proxy ---------------------------------------------------------------------------

    def requests(self, kind: Kind, name: str | None = None) -> list[Request]:
        """Return the requests of a kind so far, about one artifact or any."""
        return [
            request
            for request in self.proxy.requests
            if request.kind == kind and (is_of(request, name) if name else is_own(request))
        ]

    # -- at the service -------------------------------------------------------------------------

    def describe(self, name: str) -> Described:
        """Describe an object."""
        return self.bucket.describe(f"{PREFIX}/{name}")

    def owner(self, name: str) -> str:
        """Return the id of the upload that made an object."""
        return self.describe(name).metadata["uploader-id"]

    def read(self, name: str) -> bytes:
        """Return an object's bytes."""
        return self.bucket.read(f"{PREFIX}/{name}")

    def names(self) -> set[str]:
        """Return the names of all objects; a probe's would show too."""
        return {key.removeprefix(f"{PREFIX}/") for key in self.bucket.objects()}

    def unfinished(self) -> list[str]:
        """Return what is left of uploads that were neither completed nor aborted."""
        return self.bucket.unfinished()


def is_own(request: Request) -> bool:
    """Tell whether a request is about an artifact, and not a trial of the service."""
    return request.key.startswith(f"{PREFIX}/") and not is_probe(request.key)


def is_of(request: Request, name: str) -> bool:
    """Tell whether a request is about this artifact."""
    return request.key == f"{PREFIX}/{name}"


def wait_until(true: Callable[[], object]) -> None:
    """Look until something is so; the test's time limit bounds it."""
    while not true():
        _pause.wait(PAUSE)
