"""Sets up what a soak uploads to, and asks what is there: past the proxy, and past the uploader."""

from __future__ import annotations

import abc
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import requests
from botocore.exceptions import BotoCoreError, ClientError
from google.api_core.exceptions import GoogleAPIError, NotFound

from tests.servers.seaweed import seaweed_process
from tests.servers.services import GcsService, S3Service
from tests.servers.strict_gcs.running import StrictProcess, strict_gcs_running
from tests.soak.breaking import BreakingProxy
from uploader.store.local_files import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from tests.servers.seaweed import SeaweedProcess
    from tests.servers.services import Bucket, Service

PREFIX = "runs"
HEAD = 15  #: bytes at the beginning of a content, with its version
STALL = 3  #: seconds without progress after which the uploader gives a request up
MIB = 1 << 20
POINTER = ".symlink"

#: What breaks in the store itself, where there is no service that a proxy could stand before: of
#: an attempt's three tries all fail often enough that some wait while the clock jumps.
LOCAL_FAULTS = {"UPLOADER_FAULTS": "transient=0.2,lost=0.1,delay=0.002"}


class UnreachableError(Exception):
    """The service cannot be asked just now."""


class Breakable(Protocol):
    """A process of ours that is killed and started again."""

    @property
    def pid(self) -> int:
        """Its pid."""
        ...

    def down(self) -> None:
        """Kill it."""
        ...

    def up(self) -> None:
        """Start it again."""
        ...

    def wait(self) -> None:
        """Wait until it can be used, if `up` did not."""
        ...


@dataclass
class Destination(abc.ABC):
    """Where a spool uploads to.

    Attributes:
        url: of the destination.
        options: of the spool.
        larger: bytes; sizes that go in parts.
        disk: bytes that the spool's disk has.
        breakable: processes that can be killed, by what they are.
        proxy: what stands before the service, None where there is no service.
    """

    url: str
    options: dict[str, Any]
    larger: list[int]
    disk: int = 96 * MIB
    breakable: dict[str, Breakable] = field(default_factory=dict)
    proxy: BreakingProxy | None = None

    @abc.abstractmethod
    def environment(self, *, faults: bool) -> dict[str, str]:
        """Return what the uploader needs in its environment, with faults in it or without."""

    @abc.abstractmethod
    def head(self, name: str) -> bytes | None:
        """Return the first bytes of an object, None if there is none.

        Raises:
            UnreachableError: it cannot be asked.
        """

    @abc.abstractmethod
    def target(self, alias: str) -> str | None:
        """Return the name that a symlink leads to, None if there is none, or it is a copy.

        Raises:
            UnreachableError: it cannot be asked.
        """

    @abc.abstractmethod
    def arrived(self) -> dict[str, bytes | str]:
        """Return what is there: bytes of objects, the target's name of symlinks."""

    @abc.abstractmethod
    def unfinished(self) -> list[str]:
        """Return what is there beside artifacts."""

    @property
    def lapsing(self) -> int:
        """How many sessions are left that nobody can find, and that end by themselves."""
        return 0

    @property
    def faults(self) -> list[str]:
        """What the proxy broke, each by its name."""
        return self.proxy.faults if self.proxy else []

    def settle(self) -> None:
        """Have everything up again, and break nothing any more."""
        for process in self.breakable.values():
            process.wait()
        if self.proxy:
            self.proxy.mood = "calm"

    def end(self) -> list[str]:
        """Break the proxy's connections for the last time; return what went wrong in itself."""
        said = self.proxy.end() if self.proxy else ""
        return [f"the proxy itself failed: {said[-2000:]}"] if said else []


class Folder(Destination):
    """A directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"file://{root}", {"part_size": MIB}, [3_300_000])
        self._root = root

    def environment(self, *, faults: bool) -> dict[str, str]:
        """See `Destination.environment`."""
        return LOCAL_FAULTS if faults else {}

    def head(self, name: str) -> bytes | None:
        """See `Destination.head`."""
        try:
            with (self._root / name).open("rb") as file:
                return file.read(HEAD)
        except FileNotFoundError:
            return None

    def target(self, alias: str) -> str | None:
        """See `Destination.target`."""
        try:
            return os.readlink(self._root / alias).removeprefix("../")
        except FileNotFoundError:
            return None

    def arrived(self) -> dict[str, bytes | str]:
        """See `Destination.arrived`."""
        found: dict[str, bytes | str] = {}
        for path in self._files():
            name = str(path.relative_to(self._root))
            linked = path.is_symlink()
            found[name] = os.readlink(path).removeprefix("../") if linked else path.read_bytes()
        return found

    def unfinished(self) -> list[str]:
        """See `Destination.unfinished`."""
        return [str(path) for path in self._files() if path.name.startswith(TEMPORARY)]

    def _files(self) -> list[Path]:
        return [path for path in self._root.rglob("*") if path.is_symlink() or path.is_file()]


class InBucket(Destination):
    """A bucket of a service behind a proxy."""

    missing: ClassVar[tuple[type[Exception], ...]]

    def __init__(
        self, service: Service, proxy: BreakingProxy, server: Breakable, random: Random
    ) -> None:
        form = random.choice(("pointer", "pointer", "copy"))
        options = {
            "endpoint": proxy.endpoint,
            "stall_timeout": STALL,
            "symlink_mode": form,
            "part_size": self.part,
        }
        self.bucket: Bucket = service.make_bucket()
        url = f"{service.scheme}://{self.bucket.name}/{PREFIX}"
        super().__init__(url, options, self.sizes)
        self._service = service
        self._pointers = form == "pointer"
        self.proxy = proxy
        self.breakable = {"server": server, "proxy": proxy}

    part: ClassVar[int]
    sizes: ClassVar[list[int]]

    def environment(self, *, faults: bool) -> dict[str, str]:
        """See `Destination.environment`: faults come by the proxy."""
        return self._service.environment()

    def target(self, alias: str) -> str | None:
        """See `Destination.target`."""
        text = self._begin(alias + POINTER, 1000) if self._pointers else None
        return text.decode().removeprefix(f"{PREFIX}/") if text else None

    def head(self, name: str) -> bytes | None:
        """See `Destination.head`."""
        return self._begin(name, HEAD)

    def arrived(self) -> dict[str, bytes | str]:
        """See `Destination.arrived`."""
        keys = sorted(self.bucket.objects())
        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(self._read, keys))

    def unfinished(self) -> list[str]:
        """See `Destination.unfinished`; objects beside artifacts show as what nobody logged."""
        return self.bucket.unfinished()

    def _read(self, key: str) -> tuple[str, bytes | str]:
        content, name = self.bucket.read(key), key.removeprefix(f"{PREFIX}/")
        if self._pointers and name.endswith(POINTER):
            return name.removesuffix(POINTER), content.decode().removeprefix(f"{PREFIX}/")
        return name, content

    def _begin(self, name: str, size: int) -> bytes | None:
        try:
            return self._read_some(f"{PREFIX}/{name}", size)
        except (
            BotoCoreError, ClientError, GoogleAPIError, requests.RequestException, OSError,
        ) as error:  # fmt: skip
            raise UnreachableError from error

    @abc.abstractmethod
    def _read_some(self, key: str, size: int) -> bytes | None:
        """Ask once for the first bytes of an object."""


class InS3(InBucket):
    """A bucket of SeaweedFS."""

    part = 5 * MIB
    sizes: ClassVar = [11_000_000]

    def __init__(
        self, service: S3Service, proxy: BreakingProxy, server: Breakable, random: Random
    ) -> None:
        super().__init__(service, proxy, server, random)
        self._impatient = service.server._make_client(attempts=1, patience=5)

    def _read_some(self, key: str, size: int) -> bytes | None:
        wanted = {"Bucket": self.bucket.name, "Key": key, "Range": f"bytes=0-{size - 1}"}
        try:
            with self._impatient.get_object(**wanted)["Body"] as body:
                return bytes(body.read())
        except self._impatient.exceptions.NoSuchKey:
            return None


class InGcs(InBucket):
    """A bucket of the strict server.

    The largest size goes as parts at once, which are objects of their own until they are composed.
    """

    part = 4 * MIB
    sizes: ClassVar = [9_000_000, 129 * MIB]

    def __init__(
        self, service: GcsService, proxy: BreakingProxy, server: Breakable, random: Random
    ) -> None:
        super().__init__(service, proxy, server, random)
        self._strict = service.server
        self.disk = 400 * MIB

    @property
    def lapsing(self) -> int:
        """See `Destination.lapsing`: whose begin was answered, and the answer lost."""
        return len(self._strict.control()["sessions"])

    def _read_some(self, key: str, size: int) -> bytes | None:
        blob = self.bucket.client.bucket(self.bucket.name).blob(key)
        try:
            return bytes(blob.download_as_bytes(start=0, end=size - 1, timeout=5, retry=None))
        except NotFound:
            return None


@dataclass
class SeaweedServer:
    """SeaweedFS as what is killed; nobody waits for it to be up again."""

    process: SeaweedProcess

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def down(self) -> None:
        """See `Breakable.down`."""
        self.process.kill()

    def up(self) -> None:
        """See `Breakable.up`."""
        self.process.begin_again()

    def wait(self) -> None:
        """See `Breakable.wait`."""
        self.process.wait_until_it_answers()


@dataclass
class StrictServer:
    """The strict server as what is killed."""

    process: StrictProcess

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid

    def down(self) -> None:
        """See `Breakable.down`."""
        self.process.kill()

    def up(self) -> None:
        """See `Breakable.up`."""
        self.process.restart()

    def wait(self) -> None:
        """Return: `up` has waited."""


@contextlib.contextmanager
def destination(kind: str, directory: Path, random: Random) -> Iterator[Destination]:
    """Run what a kind of destination needs (`file`, `s3` or `gs`), with its data in a directory."""
    if kind == "file":
        yield Folder(directory / "destination")
    elif kind == "s3":
        with seaweed_process(directory / "server") as weed:
            service = S3Service(weed.servers.http)
            with _proxy(service.endpoint, directory, random) as proxy:
                yield InS3(service, proxy, SeaweedServer(weed), random)
    else:
        with strict_gcs_running(directory / "server") as strict:
            gcs = GcsService(strict.server)
            with _proxy(gcs.endpoint, directory, random) as proxy:
                yield InGcs(gcs, proxy, StrictServer(strict), random)


@contextlib.contextmanager
def _proxy(endpoint: str, directory: Path, random: Random) -> Iterator[BreakingProxy]:
    proxy = BreakingProxy(endpoint, directory / "proxy", random.randrange(1 << 32))
    try:
        yield proxy
    finally:
        proxy.down()
