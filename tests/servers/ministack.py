"""Start MiniStack, the second S3 server of the tests: its conditional complete is right in a race.

Where version 1.5.33 is not as AWS, and what follows for a test:

- No signature is checked: what a wrong secret does is SeaweedFS's to show.
- `CopyObject` ignores the destination's `If-None-Match`.
- A full-object checksum of a multipart upload is refused though it is right; `EntityTooSmall` is
  not enforced.
- SSE headers are accepted and told again; nothing is encrypted.
- A finished object survives a kill, an unfinished multipart upload does not.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.leash import LeashedProcess, free_ports, program, start_again_if_taken
from tests.servers.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def ministack_running(folder: Path) -> Iterator[S3Server]:
    """Run MiniStack with its data in an empty folder, which is removed with it."""
    process, server = start_again_if_taken(lambda: _start(folder))
    try:
        yield server
    finally:
        process.kill()
        shutil.rmtree(folder)


def _start(folder: Path) -> tuple[LeashedProcess, S3Server]:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (port,) = free_ports(1)
    server = S3Server(f"http://127.0.0.1:{port}", "testak", "testsecret1234")
    process = LeashedProcess([program("ministack")], folder, _environment(folder, port))
    try:
        process.wait_until(lambda: server.answers() and _is_ours(folder))
    except BaseException:
        process.kill()
        raise
    return process, server


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "data"),
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(folder),
        # Listeners on fixed ports, for services that are not used.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


def _is_ours(folder: Path) -> bool:
    """Tell whether the answer came from this process: another's would not write into its folder.

    It checks no signature, so a MiniStack of another run that took the port would answer as well.
    """
    return any((folder / "data").iterdir())
