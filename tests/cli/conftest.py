"""Give each test a folder in which it can run commands."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.shell import Shell
from tests.servers.leash import nobody_listens

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from tests.cli.bucket_shell import BucketShell, GcsShell, S3Shell, StrictShell
    from tests.servers.s3_server import S3Server
    from tests.servers.strict_gcs.running import StrictGcs


@pytest.fixture
def shell(tmp_path: pathlib.Path) -> Iterator[Shell]:
    """Commands, a spool and a destination below a temporary folder; processes end with the test."""
    shell = Shell(tmp_path)
    yield shell
    shell.end()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An endpoint that refuses connections."""
    with nobody_listens() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_bucket(seaweed: S3Server) -> str:
    """A bucket for all tests of this room: each takes a prefix, since SeaweedFS has few buckets."""
    return seaweed.make_bucket()


@pytest.fixture(scope="session")
def strict_bucket(strict_gcs: StrictGcs) -> str:
    """The same at the strict GCS server."""
    return strict_gcs.make_bucket()


@pytest.fixture(scope="session", params=["s3", "gs"])
def shell_in(request: pytest.FixtureRequest) -> Callable[[pathlib.Path], BucketShell]:
    """What makes shells in folders, once for each kind of bucket."""
    from tests.cli.bucket_shell import GcsShell, S3Shell

    if request.param == "s3":
        s3: tuple[S3Server, str] = _both(request, "seaweed", "seaweed_bucket")
        return lambda folder: S3Shell(folder, *s3)
    gcs: tuple[StrictGcs, str] = _both(request, "strict_gcs", "strict_bucket")
    return lambda folder: GcsShell(folder, *gcs)


@pytest.fixture
def there(
    tmp_path: pathlib.Path, shell_in: Callable[[pathlib.Path], BucketShell]
) -> Iterator[BucketShell]:
    """Commands and a spool below a temporary folder, a destination in a bucket of each kind."""
    shell = shell_in(tmp_path)
    yield shell
    shell.end()


@pytest.fixture
def s3(tmp_path: pathlib.Path, seaweed: S3Server, seaweed_bucket: str) -> Iterator[S3Shell]:
    """Commands and a spool below a temporary folder, a destination at SeaweedFS."""
    from tests.cli.bucket_shell import S3Shell

    shell = S3Shell(tmp_path, seaweed, seaweed_bucket)
    yield shell
    shell.end()


@pytest.fixture
def gcs(tmp_path: pathlib.Path, strict_gcs: StrictGcs, strict_bucket: str) -> Iterator[StrictShell]:
    """Commands and a spool below a temporary folder, a destination at the strict GCS server."""
    from tests.cli.bucket_shell import StrictShell

    shell = StrictShell(tmp_path, strict_gcs, strict_bucket)
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def locked_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictGcs]:
    """A strict GCS server by https that wants a token, as GCS itself does."""
    from tests.servers.strict_gcs.running import strict_gcs_running

    folder = tmp_path_factory.mktemp("locked_gcs")
    with strict_gcs_running(
        folder, token="a-token-of-" + secrets.token_hex(8), tls=True
    ) as process:
        yield process.server


@pytest.fixture
def locked(tmp_path: pathlib.Path, locked_gcs: StrictGcs) -> Iterator[GcsShell]:
    """Commands and a spool below a temporary folder, a destination at that server."""
    from tests.cli.bucket_shell import GcsShell

    shell = GcsShell(tmp_path, locked_gcs, locked_gcs.make_bucket())
    yield shell
    shell.end()


def _both(request: pytest.FixtureRequest, server: str, bucket: str) -> tuple[Any, str]:
    return request.getfixturevalue(server), request.getfixturevalue(bucket)
