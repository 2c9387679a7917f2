"""Give each test a folder in which it can run commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.shell import Shell

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from tests.cli.s3_shell import S3Shell
    from tests.servers.s3_server import S3Server


@pytest.fixture
def shell(tmp_path: pathlib.Path) -> Iterator[Shell]:
    """Commands, a spool and a destination below a temporary folder; processes end with the test."""
    shell = Shell(tmp_path)
    yield shell
    shell.end()


@pytest.fixture(scope="session")
def seaweed_bucket(seaweed: S3Server) -> str:
    """A bucket for all tests of this room: each takes a prefix, since SeaweedFS has few buckets."""
    return seaweed.make_bucket()


@pytest.fixture
def s3(tmp_path: pathlib.Path, seaweed: S3Server, seaweed_bucket: str) -> Iterator[S3Shell]:
    """Commands and a spool below a temporary folder, a destination at SeaweedFS."""
    from tests.cli.s3_shell import S3Shell  # boto3: not in every run of one test

    shell = S3Shell(tmp_path, seaweed, seaweed_bucket)
    yield shell
    shell.end()
