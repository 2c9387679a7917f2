"""Holds `import uploader` to giving each public name, in whatever order modules are loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

import uploader


@pytest.mark.parametrize("name", uploader.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """What `__all__` promises can be had."""
    assert getattr(uploader, name) is not None
    assert name in dir(uploader)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name does not look like a missing module."""
    with pytest.raises(AttributeError, match="no attribute 'drian'"):
        _ = uploader.drian


@pytest.mark.parametrize(
    "first", ["import uploader.drain.agent", "from uploader import drain", "import uploader.drain"]
)
def test_drain_is_the_function_whatever_was_imported_first(first: str) -> None:
    """The package `uploader.drain` does not hide the function of that name."""
    code = f"""{first}
from uploader import drain
try:
    drain("/nowhere")
except Exception as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "not a spool" in ended.stdout
