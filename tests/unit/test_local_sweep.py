"""Sweeping a local destination: by how long nothing was done to a file, not by what it is dated."""

from __future__ import annotations

import os
import pathlib

from uploader.store.local import LocalStore


def test_an_object_about_to_be_published_is_not_taken_for_an_old_one(
    tmp_path: pathlib.Path,
) -> None:
    """A sealed object carries the time of its source, which may be years ago."""
    sealed = tmp_path / (".uploader-" + "0" * 32)
    sealed.write_text("complete, and about to get its name")
    os.utime(sealed, (0, 0))
    store = LocalStore(str(tmp_path))
    assert store.sweep(set(), older_than=3600) == []
    assert store.sweep(set(), older_than=0) == [sealed.name]
