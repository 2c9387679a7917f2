"""Uploads a folder by google-cloud-storage alone: peers of the benchmark.

    python by_google.py WAY FOLDER ENDPOINT BUCKET PREFIX

What is not given is as the library has it: chunks, checksums, and how it asks. Nothing of ours is
imported.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 4  #: as many as the uploader's; the library's own default is 8


def one_by_one(files: list[Path], bucket: Any, prefix: str) -> None:
    """Call `upload_from_filename`: one request up to 8 MiB, else a session by chunks of 100 MiB."""
    for path in files:
        bucket.blob(f"{prefix}/{path.name}").upload_from_filename(str(path))


def in_threads(files: list[Path], bucket: Any, prefix: str) -> None:
    """Call the same in threads, with one client."""

    def upload(path: Path) -> None:
        bucket.blob(f"{prefix}/{path.name}").upload_from_filename(str(path))

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(upload, files):
            pass


def many_in_processes(files: list[Path], bucket: Any, prefix: str) -> None:
    """Call `upload_many`, whose default are processes."""
    _many(files, bucket, prefix, transfer_manager.PROCESS)


def many_in_threads(files: list[Path], bucket: Any, prefix: str) -> None:
    """Call `upload_many` with threads."""
    _many(files, bucket, prefix, transfer_manager.THREAD)


def chunks_in_processes(files: list[Path], bucket: Any, prefix: str) -> None:
    """Call `upload_chunks_concurrently`: an XML multipart upload by parts of 32 MiB."""
    for path in files:
        blob = bucket.blob(f"{prefix}/{path.name}")
        transfer_manager.upload_chunks_concurrently(str(path), blob, max_workers=WORKERS)


WAYS: dict[str, Callable[[list[Path], Any, str], None]] = {
    "one-by-one": one_by_one,
    "threads": in_threads,
    "many-processes": many_in_processes,
    "many-threads": many_in_threads,
    "chunks": chunks_in_processes,
}


def main(way: str, folder: str, endpoint: str, bucket: str, prefix: str) -> None:
    """Upload every file of the folder; the first failure ends it."""
    client = storage.Client(
        project="bench",
        credentials=None if endpoint.startswith("https:") else AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
    )
    WAYS[way](sorted(Path(folder).iterdir()), client.bucket(bucket), prefix)


def _many(files: list[Path], bucket: Any, prefix: str, kind: str) -> None:
    transfer_manager.upload_many_from_filenames(
        bucket,
        [path.name for path in files],
        source_directory=str(files[0].parent),
        blob_name_prefix=f"{prefix}/",
        raise_exception=True,
        worker_type=kind,
        max_workers=WORKERS,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
