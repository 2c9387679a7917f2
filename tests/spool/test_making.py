"""Holds the making of a spool to: whole, or to be made again, wherever it was cut short."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from uploader import NotASpoolError, Spool
from uploader.spool.journal import Journal
from uploader.spool.layout import Layout
from uploader.spool.schema import prepare

if TYPE_CHECKING:
    from pathlib import Path


def test_a_spool_whose_making_was_cut_short_is_none_yet(tmp_path: Path) -> None:
    """Without a destination it says what to do; with one it is made whole."""
    path = tmp_path / "spool"
    Layout(path).make()
    journal = Journal(path)
    prepare(journal, path, create=True)  # killed here: tables, but no destination
    journal.close()
    with pytest.raises(NotASpoolError, match=r"cut short.*uploader init"):
        Spool(path)
    Spool(path, "file:///somewhere").close()
    assert Spool(path).destination == "file:///somewhere"


def test_of_two_that_make_a_spool_for_different_places_one_is_refused(tmp_path: Path) -> None:
    """The spool belongs to one destination from its first moment on."""
    code = "import sys; from uploader import Spool; Spool(sys.argv[1], sys.argv[2]).close()"
    for _ in range(5):
        makers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path / "spool"), f"file:///{place}"],
                stderr=subprocess.PIPE,
            )
            for place in ("one", "two")
        ]
        errors = [maker.communicate(timeout=60)[1].decode() for maker in makers]
        assert sorted(maker.returncode for maker in makers) == [0, 1], errors
        assert sum("use one spool for each destination" in error for error in errors) == 1
        shutil.rmtree(tmp_path / "spool")
