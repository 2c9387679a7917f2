"""Hold what `import destination` and `import uploader` leave out of the training process.

How long they take is measured by scripts/bench: a time limit on a busy machine is no fact.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def loaded_by(statement: str) -> set[str]:
    """Return which of the unwanted modules a fresh interpreter holds after `statement`."""
    program = f"import sys; {statement}; print(*(m for m in {UNWANTED!r} if m in sys.modules))"
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
