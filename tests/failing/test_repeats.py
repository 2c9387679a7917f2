"""Shows that a repeated step makes durable what the first try had begun, before it failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from uploader.errors import TransientError
from uploader.model import Part, PutMode
from uploader.store.base import ObjectMeta
from uploader.store.body import Body
from uploader.store.local import LocalStore

DATA = b"all that there is of it"
META = ObjectMeta("0" * 32, len(DATA), Body.of_bytes(DATA).crc32c, None, "", 0)


@contextmanager
def _directories_synced(*, fail: bool) -> Iterator[list[int]]:
    """Yield the inodes of the directories that are fsynced; with `fail` that fails."""
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            if fail:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    with patch("os.fsync", fsync):
        yield synced


@pytest.mark.parametrize("mode", PutMode)
def test_a_repeated_completion_syncs_the_directory(tmp_path: Path, mode: PutMode) -> None:
    """It finds its own object there, whose name no fsync has made durable yet: it makes it so."""
    store, body = LocalStore(str(tmp_path)), Body.of_bytes(DATA)
    session = store.begin("large.pt", mode, META)
    parts = [store.put_part("large.pt", session, Part(1, 0, len(DATA)), body)]
    with _directories_synced(fail=True), pytest.raises(TransientError):
        store.complete("large.pt", session, parts, mode, META, whole=body)
    assert (tmp_path / "large.pt").read_bytes() == DATA
    with _directories_synced(fail=False) as synced:
        store.complete("large.pt", session, parts, mode, META, whole=body)
    assert tmp_path.stat().st_ino in synced
