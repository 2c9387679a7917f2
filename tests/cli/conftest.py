"""Give each test a folder in which it can run commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.shell import Shell

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


@pytest.fixture
def shell(tmp_path: pathlib.Path) -> Iterator[Shell]:
    """Commands, a spool and a destination below a temporary folder; processes end with the test."""
    shell = Shell(tmp_path)
    yield shell
    shell.end()
