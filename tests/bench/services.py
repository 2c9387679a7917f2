"""Starts what the benchmark uploads to: real servers in memory, and a sink that only answers.

- `seaweed` is SeaweedFS with its files in memory (a tmpfs), so that no disk is shared between it
  and whom it serves.
- `strict` is the strict server of GCS's API that the tests use, with its files in memory too.
- `sink` is a small program in C that answers by TLS and throws bodies away. What is left of the
  time is the client's. `sink-http` is the same without TLS. It speaks S3 and GCS's JSON API.
- Processes on the same cores, all of them: what a server takes, its clients do not have.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.servers.certificates import make_certificates
from tests.servers.gcs_server import GcsServer
from tests.servers.leash import LeashedProcess, free_ports, start_again_if_taken
from tests.servers.s3_server import S3Server
from tests.servers.seaweed import seaweed_running
from tests.servers.strict_gcs.running import strict_gcs_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

S = TypeVar("S", S3Server, GcsServer)

MEMORY = Path("/dev/shm")  #: a tmpfs on any Linux; small in some containers
ROOM = 5 << 30  #: bytes: an object of 2 GiB, and what is not yet reclaimed of the one before

SOURCES = Path(__file__).parent / "sink"
BUILT = Path(sys.prefix) / "bench-sink"  #: below our own environment, which git ignores

_COMPILER = ("cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE")
_LIBRARIES = ("-lssl", "-lcrypto", "-lpthread")
_HOW_TO_COMPILE = (
    "the sink cannot be compiled: install a C compiler and the headers of OpenSSL 3 "
    "(Debian, Ubuntu: apt-get install gcc libc6-dev libssl-dev)"
)


class CannotCompileError(Exception):
    """What the sink is compiled with is missing."""


def environment(server: S3Server) -> dict[str, str]:
    """Return all variables by which clients of any make find a server of S3, and trust it."""
    found = {**server.environment(), "AWS_ENDPOINT_URL": server.endpoint}
    if server.ca_bundle:
        # AWS's own SDKs read the first, OpenSSL, Go's and Rust's libraries the second.
        trusted = dict.fromkeys(["AWS_CA_BUNDLE", "SSL_CERT_FILE"], str(server.ca_bundle))
        return {**found, **trusted}
    return found


def described(name: str) -> str:
    """Return what one should know of a server to judge the figures."""
    return {
        "sink": "sink: answers by TLS 1.3 (AES-128-GCM), and throws bodies away",
        "sink-http": "sink-http: the same without TLS",
        "strict": f"strict: a server of the tests' own, in Python, its files {_where()}",
        "seaweed": f"seaweed: SeaweedFS, its files {_where()}; often the limit itself",
    }[name]


def _where() -> str:
    if _has_memory():
        return f"in memory ({MEMORY})"
    return f"on the disk that is measured, as {MEMORY} has no {ROOM >> 30} GiB"


def _has_memory() -> bool:
    return MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM


@contextmanager
def _seaweed(folder: Path) -> Iterator[S3Server]:
    with _room(folder) as room, seaweed_running(room / "server") as servers:
        yield servers.http


@contextmanager
def _strict(folder: Path) -> Iterator[GcsServer]:
    folder.mkdir()
    with _room(folder) as room, strict_gcs_running(room / "server") as process:
        yield process.server


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    where = MEMORY if _has_memory() else folder.parent
    with tempfile.TemporaryDirectory(prefix="uploader-bench-", dir=where) as room:
        yield Path(room)


@contextmanager
def _sink(make: Callable[[str, Path | None], S], folder: Path, *, tls: bool) -> Iterator[S]:
    folder.mkdir()
    program = compiled()
    process, server = start_again_if_taken(lambda: _start_sink(program, make, folder, tls=tls))
    try:
        yield server
    finally:
        process.kill()


def _start_sink(
    program: Path, make: Callable[[str, Path | None], S], folder: Path, *, tls: bool
) -> tuple[LeashedProcess, S]:
    (port,) = free_ports(1)
    made = make_certificates(folder) if tls else None
    server = make(f"http{'s' * tls}://127.0.0.1:{port}", made.authority if made else None)
    command = [str(program), str(port)]
    if made:
        command += [str(made.chain), str(made.key)]
    process = LeashedProcess(command, folder, {})
    try:
        process.wait_until(server.answers)
    except BaseException:
        process.kill()
        raise
    return process, server


def compiled() -> Path:
    """Return the sink's program, made from its sources as they are now.

    Raises:
        CannotCompileError: there is no compiler, or there are no headers.
    """
    sources = sorted(SOURCES.glob("*.[ch]"))
    version = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = BUILT / f"sink-{version}"
    if program.exists():
        return program
    BUILT.mkdir(exist_ok=True)
    units = [str(source) for source in sources if source.suffix == ".c"]
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        made = Path(folder) / "sink"
        command = [*_COMPILER, "-o", str(made), *units, *_LIBRARIES]
        try:
            subprocess.run(command, check=True, stdout=sys.stderr)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotCompileError(_HOW_TO_COMPILE) from error
        made.rename(program)
    return program


def _s3(endpoint: str, ca_bundle: Path | None) -> S3Server:
    return S3Server(endpoint, "benchmark", "not looked at", ca_bundle)


def _gcs(endpoint: str, ca_bundle: Path | None) -> GcsServer:
    return GcsServer(endpoint, ca_bundle=ca_bundle)


SERVERS: dict[str, Callable[[Path], AbstractContextManager[S3Server]]] = {
    "sink": partial(_sink, _s3, tls=True),
    "sink-http": partial(_sink, _s3, tls=False),
    "seaweed": _seaweed,
}

#: The same for clients of Google Cloud Storage.
GCS_SERVERS: dict[str, Callable[[Path], AbstractContextManager[GcsServer]]] = {
    "sink": partial(_sink, _gcs, tls=True),
    "sink-http": partial(_sink, _gcs, tls=False),
    "strict": _strict,
}
