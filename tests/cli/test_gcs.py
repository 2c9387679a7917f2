"""The commands with a bucket of GCS as destination: what GCS alone has."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Iterator

import pytest

from tests.cli.bucket_shell import GcsShell, StrictShell, arguments_of_family, files_with
from tests.servers.faults import Fault, StallBody
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Request
from tests.servers.strict_gcs.running import StrictGcs

PART = 8 << 20  #: bytes
SIZE = 4 * PART + 100  #: bytes; what is not larger than 32 MiB goes whole


def test_a_token_that_is_refused_makes_no_dead_letters(locked: GcsShell) -> None:
    """Exit code 5 and what to do; with the right one everything arrives."""
    upload = locked.put("one")
    locked.log_in("a-wrong-token")
    refused = locked.run("drain")
    assert refused.returncode == 5, refused.stderr
    assert "renew the credentials" in refused.stderr
    assert "a-wrong-token" not in refused.stderr + refused.stdout
    assert locked.state(upload) == "ready"
    locked.log_in(locked.server.token or "")
    assert locked.run("drain").returncode == 0
    assert locked.names() == ["one"]


def test_a_bucket_that_is_not_there_makes_no_dead_letters(
    tmp_path: pathlib.Path, strict_gcs: StrictGcs
) -> None:
    """Exit code 5, and what to do."""
    shell = GcsShell(tmp_path, strict_gcs, "no-such-bucket")
    upload = shell.put("one")
    refused = shell.run("drain")
    assert refused.returncode == 5, refused.stderr
    assert "The specified bucket does not exist; make the bucket, or correct" in refused.stderr
    assert shell.state(upload) == "ready"


def test_the_token_is_in_no_output_file_or_argument(locked: GcsShell) -> None:
    """Neither of a drain that says everything, nor of the workers that it starts."""
    (token,) = locked.secrets
    locked.put("one")
    hold = locked.file("", "hold")
    process = locked.start_supervisor("drain", "-vv", UPLOADER_FAULTS=f"hold={hold},only=put")
    locked.wait_until((locked.folder / "hold.reached").exists)
    arguments = arguments_of_family(process.pid)
    hold.unlink()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(arguments) > 2, "the drain, its fork server, its worker"
    assert token not in output + errors + "".join(arguments)
    assert files_with(locked.spool_path, token) == []
    assert locked.names() == ["one"]


@pytest.fixture
def proxy(gcs: StrictShell) -> Iterator[FaultProxy]:
    """Stand before the service; commands find it there."""
    with FaultProxy(gcs.server.endpoint) as proxy:
        gcs.environment |= gcs.told_of(proxy.endpoint)
        yield proxy


def halfway(request: Request) -> Fault | None:
    """Let the second half of a large file not get through."""
    late = request.kind is Kind.PART and (request.part or 0) >= 2 * PART
    return StallBody() if late else None


def offsets_in(requests: list[Request]) -> list[int | None]:
    """Return which bytes of a large file were sent, by where each request of them begins."""
    of_large = [one for one in requests if one.key.endswith("/large")]
    return [one.part for one in of_large if one.kind in (Kind.PART, Kind.COMPLETE)]


def looks(shell: StrictShell, *how: str) -> str:
    """Return what is shown of a spool."""
    ended = [shell.run(command, "-vv", *how) for command in ("status", "ls")]
    assert {one.returncode for one in ended} == {0}, ended
    return "".join(one.stdout + one.stderr for one in ended)


def test_a_drain_killed_in_the_middle_of_a_session_goes_on_and_shows_nobody_its_uri(
    gcs: StrictShell, proxy: FaultProxy
) -> None:
    """Whoever has the URI may write: it stands in the database alone, which the owner may read."""
    content = os.urandom(SIZE)
    gcs.init("--part-size", PART)
    upload = gcs.put("large", content)
    proxy.decide = halfway
    process = gcs.start_supervisor("drain", "-vv")
    gcs.wait_until(lambda: 2 * PART in offsets_in(proxy.requests))
    (secret,) = {one.session for one in proxy.requests if offsets_in([one])}
    shown = looks(gcs) + looks(gcs, "--json") + "".join(arguments_of_family(process.pid))
    process.kill()
    shown += "".join(process.communicate(timeout=30)) + looks(gcs, "--json")
    holding = files_with(gcs.spool_path, secret)
    assert set(holding) <= {"spool.db", "spool.db-wal"}
    assert {stat.S_IMODE((gcs.spool_path / name).stat().st_mode) for name in holding} == {0o600}

    proxy.decide = lambda _: None
    before = len(proxy.requests)
    drained = gcs.run("drain", "-vv")
    assert drained.returncode == 0, drained.stderr
    assert offsets_in(proxy.requests[before:]) == [2 * PART, 3 * PART, 4 * PART]
    assert gcs.upload_id_of("large") == upload
    assert gcs.bytes_of("large") == content
    assert secret not in shown + drained.stdout + drained.stderr
