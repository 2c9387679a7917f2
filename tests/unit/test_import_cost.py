"""Hold what the training process, and a drain that has nothing to do, do not load.

How long they take is measured by scripts/bench: a time limit on a busy machine is no fact.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from uploader import Spool

if TYPE_CHECKING:
    from pathlib import Path

#: modules that a training process must not pay for, nor get locks, threads or handlers from
UNWANTED = (
    "boto3",
    "botocore",
    "google.cloud",
    "google_crc32c",
    "click",
    "rich",
    "numpy",
    "persistqueue",
    "prometheus_client",
    "tenacity",
    "sqlite3",
    "multiprocessing",
    "concurrent.futures",
    "asyncio",
    "torch",
    "composer",
    "lightning",
    "transformers",
)

#: modules that a drain needs only if there is something to upload, or never
FOR_WORK = (
    "uploader.drain.supervisor",
    "uploader.drain.worker",
    "uploader.store",
    "boto3",
    "prometheus_client",
    "tenacity",
    "multiprocessing",
    "asyncio",
    "rich",
    "secrets",
    "importlib.resources",
)


def loaded_by(statement: str, unwanted: tuple[str, ...] = UNWANTED) -> set[str]:
    """Return which of the unwanted modules a fresh interpreter holds after `statement`."""
    program = f"import sys; {statement}; print(*(m for m in {unwanted!r} if m in sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
    )
    return set(ended.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import destination",
        "import uploader",
        "from destination import *",
        "from destination import ObjectStoreLogger as O; O('file:///x', spool='/x')",
    ],
)
def test_importing_loads_no_sdk_and_nothing_heavy(statement: str) -> None:
    """Neither the packages, nor all their names, nor making a logger."""
    assert loaded_by(statement) == set()


def test_a_drain_of_an_empty_spool_loads_nothing_that_only_uploads_need(tmp_path: Path) -> None:
    """Nor asyncio, with which persist-queue would come."""
    Spool(tmp_path / "spool", tmp_path.as_uri()).close()
    drain = ["uploader", "drain", "--quiet", "--spool", str(tmp_path / "spool")]
    statement = f"import uploader.__main__ as m; sys.argv = {drain!r}; assert m.main() == 0"
    assert loaded_by(statement, FOR_WORK) == set()


def test_the_probe_sees_what_is_loaded() -> None:
    """The test above could fail: an unwanted module that is imported is reported."""
    assert loaded_by("import sqlite3, asyncio") >= {"sqlite3", "asyncio"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Lazy loading does not turn a typing error into something else."""
    ended = subprocess.run(
        [sys.executable, "-c", "from destination import ObjectStoreLoger"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "ImportError: cannot import name 'ObjectStoreLoger'" in ended.stderr
