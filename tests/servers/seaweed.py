"""Start SeaweedFS, the default S3 server of the tests: real signatures, checksums, conditions, TLS.

Where version 4.48 is not as AWS, and what follows for a test:

- `CompleteMultipartUpload` with `If-None-Match` is right alone and wrong in a race (up to 8 winners
  of 8): race it on MiniStack.
- A contended conditional PUT takes the loser 1 to 2 s (a lock over the cluster), 4 ms alone.
- SSE-KMS answers 500. SSE-S3 works since a key is given here.
- `ListParts` and `GetObjectAttributes` tell no checksums; a wrong `MpuObjectSize` is accepted; a
  part that was sent again may be completed by its old ETag.
- `If-Match` on a missing key answers 412, not 404; a repeated complete answers 200.
- Keys with a `.` or `..` segment, or a segment over 255 bytes, are refused; lists are not in byte
  order.
- Each bucket takes volumes of its own: with `-volume.max=100` the 15th bucket answers 500.
- SIGTERM takes 16 s, so it is killed; what it had acknowledged survives that (15 kills amid puts
  of 1,074 names, whole and in parts, lost none).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.certificates import make_certificates
from tests.servers.leash import LeashedProcess, free_ports, program, start_again_if_taken
from tests.servers.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_KEY = "testak"

#: Each of these listens; a gRPC port left to its default would be the other one plus 10,000.
_PORT_OPTIONS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "s3.port.https",
)

#: Sockets that it makes beside each gRPC port, in a place it does not let one choose.
_SOCKETS = "/tmp/seaweedfs-{}-grpc-{}.sock"

_OPTIONS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-filer",
    "-filer.localSocket=filer.sock",
    "-s3",
    "-s3.localSocket=s3.sock",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.config=s3.json",
    # Without this a PUT makes a bucket that is not there, where AWS answers NoSuchBucket.
    "-s3.autoCreateBucket=false",
    # A number of files, not of bytes: they grow as they are filled. Each test has a bucket.
    "-volume.max=5000",
    "-master.volumeSizeLimitMB=1024",
    "-master.telemetry=false",
)

_ENVIRONMENT = {
    # Any phrase: the key of SSE-S3 is derived from it.
    "WEED_S3_SSE_KEY": "a phrase for tests",
    # Volumes made for a new bucket; the usual 7 slow down what makes many small buckets.
    "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",
}


@dataclass(frozen=True)
class Seaweed:
    """One SeaweedFS with two endpoints on the same buckets."""

    http: S3Server
    https: S3Server


class SeaweedProcess:
    """The server's process on a folder, which outlives it; `servers` is how a test reaches it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(zip(_PORT_OPTIONS, free_ports(len(_PORT_OPTIONS)), strict=True))
        self.servers = _prepare(folder, self._ports)
        self.begin_again()
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        for room in ("master", "volume", "filer", "s3"):
            socket = _SOCKETS.format(room, self._ports[f"{room}.port.grpc"])
            Path(socket).unlink(missing_ok=True)

    def begin_again(self) -> None:
        """Start it at the same endpoints with the data that it had; do not wait for it."""
        self._process = LeashedProcess(_command(self._ports), self._folder, _ENVIRONMENT)

    def wait_until_it_answers(self) -> None:
        """Wait until it can be used."""
        servers = self.servers
        self._process.wait_until(lambda: servers.http.answers() and servers.https.answers())


@contextlib.contextmanager
def seaweed_process(folder: Path) -> Iterator[SeaweedProcess]:
    """Run SeaweedFS with its data in an empty folder, which is removed with it."""
    process = start_again_if_taken(lambda: SeaweedProcess(folder))
    try:
        yield process
    finally:
        process.kill()
        shutil.rmtree(folder)


@contextlib.contextmanager
def seaweed_running(folder: Path) -> Iterator[Seaweed]:
    """Run one that is not killed; yield how it is reached."""
    with seaweed_process(folder) as process:
        yield process.servers


def _prepare(folder: Path, ports: dict[str, int]) -> Seaweed:
    """Write the files it reads. The secret is new each time: another's server would refuse it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    certificates = make_certificates(folder)
    secret = secrets.token_hex(16)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    http, https = (f"127.0.0.1:{ports[name]}" for name in ("s3.port", "s3.port.https"))
    return Seaweed(
        S3Server(f"http://{http}", ACCESS_KEY, secret),
        S3Server(f"https://{https}", ACCESS_KEY, secret, certificates.authority),
    )


def _command(ports: dict[str, int]) -> list[str]:
    listen = [f"-{option}={port}" for option, port in ports.items()]
    tls = ["-s3.key.file=key.pem", "-s3.cert.file=chain.pem"]
    return [program("weed"), "server", "-dir=data", *_OPTIONS, *listen, *tls]
