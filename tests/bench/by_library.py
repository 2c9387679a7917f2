"""Uploads a folder as whoever has only a library would: peers of the benchmark.

    python by_library.py WAY FOLDER BUCKET PREFIX

Endpoint and credentials come from `AWS_...` variables. Nothing of ours is imported: it runs in the
peers' own environment.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

THREADS = 8  #: over files; what a library does inside one file is its own default
PROCESSES = 4  #: as many as the uploader's workers


def boto3_in_threads(files: list[Path], bucket: str, prefix: str) -> None:
    """Call `upload_file`, with the parts and threads of the default `TransferConfig`."""
    import boto3

    upload = partial(_by_boto3, boto3.client("s3"), bucket, prefix)
    with ThreadPoolExecutor(THREADS) as pool:
        _wait(pool.map(upload, files))


def boto3_in_processes(files: list[Path], bucket: str, prefix: str) -> None:
    """Call the same in processes with a client each; they take files as they come to them."""
    with ProcessPoolExecutor(PROCESSES, initializer=_make_client) as pool:
        _wait(pool.map(partial(_in_process, bucket, prefix), files))


def obstore_in_threads(files: list[Path], bucket: str, prefix: str) -> None:
    """Call `put`, which cuts large files by itself.

    Not `put_async`: that one aborted at the interpreter's exit in 5 of 12 runs.
    """
    import obstore  # type: ignore[import-not-found]  # not in our environment

    store = obstore.store.S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={"allow_http": True},
        unsigned_payload=True,  # else it hashes every body; the others do not
    )
    with ThreadPoolExecutor(THREADS) as pool:
        _wait(pool.map(lambda path: obstore.put(store, f"{prefix}/{path.name}", path), files))


WAYS = {
    "boto3-threads": boto3_in_threads,
    "boto3-processes": boto3_in_processes,
    "obstore": obstore_in_threads,
}


def main(way: str, folder: str, bucket: str, prefix: str) -> None:
    """Upload every file of the folder; the first failure ends it."""
    WAYS[way](sorted(Path(folder).iterdir()), bucket, prefix)


_client: Any = None  #: of a process of `boto3_in_processes`


def _make_client() -> None:
    global _client  # noqa: PLW0603 - what an initializer makes for the calls that follow
    import boto3

    _client = boto3.client("s3")


def _in_process(bucket: str, prefix: str, path: Path) -> None:
    _by_boto3(_client, bucket, prefix, path)


def _by_boto3(client: Any, bucket: str, prefix: str, path: Path) -> None:
    client.upload_file(str(path), bucket, f"{prefix}/{path.name}")


def _wait(uploads: Iterable[object]) -> None:
    for _ in uploads:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
