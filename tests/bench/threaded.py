"""Uploads a folder with 8 threads, as whoever has only a library would: a peer of the benchmark.

    python threaded.py boto3|obstore FOLDER BUCKET PREFIX

Endpoint and credentials come from `AWS_...` variables. Nothing of ours is imported: it runs in the
peers' own environment.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 8  #: over files; what a library does inside one file is its own default


def by_boto3(bucket: str, prefix: str) -> Callable[[Path], object]:
    """Return boto3's `upload_file`, with the parts and threads of the default `TransferConfig`."""
    import boto3

    client = boto3.client("s3")
    return lambda path: client.upload_file(str(path), bucket, f"{prefix}/{path.name}")


def by_obstore(bucket: str, prefix: str) -> Callable[[Path], object]:
    """Return obstore's `put`, which cuts large files by itself.

    Not `put_async`: that one aborted at the interpreter's exit in 5 of 12 runs.
    """
    import obstore  # type: ignore[import-not-found]  # not in our environment

    store = obstore.store.S3Store(
        bucket,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={"allow_http": True},
        unsigned_payload=True,  # else it hashes every body; the others do not
    )
    return lambda path: obstore.put(store, f"{prefix}/{path.name}", path)


LIBRARIES = {"boto3": by_boto3, "obstore": by_obstore}


def main(library: str, folder: str, bucket: str, prefix: str) -> None:
    """Upload every file of the folder; the first failure ends it."""
    upload = LIBRARIES[library](bucket, prefix)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(upload, sorted(Path(folder).iterdir())):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
