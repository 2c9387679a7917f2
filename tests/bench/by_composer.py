"""Uploads a folder by Composer's own uploader: a peer of the benchmark.

    python by_composer.py FOLDER BUCKET PREFIX

- `upload_file` gets links in place of its copies: the upload is what is measured, not the copy.
- `post_close` comes when everything arrived. Before that it may wait forever: the names that its
  workers report fill a pipe that nobody reads any more.

Endpoint and credentials come from `AWS_...` variables. Nothing of ours is imported: it runs in an
environment of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

PROCESSES = 4  #: as many as the uploader's workers
LOOK = 0.05  #: seconds between looks whether everything arrived


def main(folder: str, bucket: str, prefix: str) -> None:
    """Upload every file of the folder; the first failure ends it."""
    from composer.loggers import (  # type: ignore[import-not-found]  # not in our environment
        RemoteUploaderDownloader,
    )

    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as staging:
        uploader = RemoteUploaderDownloader(
            f"s3://{bucket}", num_concurrent_uploads=PROCESSES, upload_staging_folder=staging
        )
        state = SimpleNamespace(run_name="run")
        shutil.copy2 = os.link  # type: ignore[assignment]  # takes less, and gets no more
        uploader.init(state, None)
        for path in sorted(Path(folder).iterdir()):
            uploader.upload_file(state, f"{prefix}/{path.name}", path, overwrite=True)
        while uploader._logged_objects or uploader._enqueued_objects:
            uploader.batch_end(state, None)  # raises what a worker failed of
            time.sleep(LOOK)
        uploader.post_close()


if __name__ == "__main__":
    main(*sys.argv[1:])
