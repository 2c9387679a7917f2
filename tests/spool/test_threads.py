"""Holds a spool that is shared by the threads of a process to every promise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from uploader import Spool

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 8
EACH = 20


def test_threads_put_through_one_handle_and_nothing_is_lost_or_mixed_up(tmp_path: Path) -> None:
    """Frameworks log from whatever thread they are in; refusals hit only who was refused."""
    spool = Spool(tmp_path / "spool", f"file://{tmp_path / 'destination'}")

    def log(thread: int) -> list[str]:
        source = tmp_path / f"source-{thread}"
        refused = 0
        ids = []
        for number in range(EACH):
            source.write_text(f"{thread} {number}")
            ids.append(spool.put_file(f"own/{thread}-{number}", source))
            try:
                spool.put_file(f"shared/{number}", source)
            except FileExistsError:
                refused += 1
        return [*ids, str(refused)]

    with ThreadPoolExecutor(THREADS) as threads:
        results = list(threads.map(log, range(THREADS)))
    refused = sum(int(result[-1]) for result in results)
    assert refused == EACH * (THREADS - 1)
    assert len(spool.uploads()) == THREADS * EACH + EACH
    for thread, result in enumerate(results):
        for number, upload_id in enumerate(result[:-1]):
            blob = spool.layout.blob(upload_id)
            assert spool.upload(upload_id).name == f"own/{thread}-{number}"
            assert blob.read_text() == f"{thread} {number}"
    spool.close()
