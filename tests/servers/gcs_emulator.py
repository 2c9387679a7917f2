"""Start gcp-storage-emulator: its resumable sessions go on in another process, and after a kill.

Where version 2026.7.19 is not as GCS, and what follows for a test:

- No precondition is looked at, whatever the request: 8 winners of 8.
- A session that has nothing yet tells `Range: bytes=0-0`, as if it had a byte.
- A chunk of any size is taken, and what came of a broken body is told to the byte, not cut to
  256 KiB. Bytes that it has are refused with 400 where GCS ignores them, so is a gap.
- The last chunk sent again answers 200, a status query after it 404; a cancel 501, and the session
  goes on.
- A checksum in the resource is compared; one in `x-goog-hash` is not.
- **A simple upload that breaks off is stored**, cut as it is.
- A rewrite keeps the source's metadata whatever the request says. A compose takes more than 32
  sources, deletes none of them, has an MD5 and no `componentCount`; its size is a number.
- Generations are nanoseconds, a new object's metageneration is 2, `?generation=` is not looked at;
  `maxResults` and pages are not there; a range past the end answers 206 with nothing.
- A 404 has no body; a segment of more than 255 bytes or `..` in a name cuts the connection.
- HTTP/1.0, a request at a time: a connection each, and of eight at once some wait a second.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from tests.servers.gcs_server import GcsServer
from tests.servers.leash import LeashedProcess, free_ports, program, start_again_if_taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def gcs_emulator_running(folder: Path) -> Iterator[GcsServer]:
    """Run gcp-storage-emulator with its data in an empty folder, which is removed with it."""
    process, server = start_again_if_taken(lambda: _start(folder))
    try:
        yield server
    finally:
        process.kill()
        shutil.rmtree(folder)


def _start(folder: Path) -> tuple[LeashedProcess, GcsServer]:
    (port,) = free_ports(1)
    server = GcsServer(f"http://127.0.0.1:{port}")
    command = [program("gcp-storage-emulator"), "--data-dir", str(folder / "data"), "start"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--quiet"]
    process = LeashedProcess(command, folder, {})
    try:
        process.wait_until(server.answers)
    except BaseException:
        process.kill()
        raise
    return process, server
