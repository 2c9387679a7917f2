"""`uploader check` says what works at a destination, what does not, and what to do about it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.cli.bucket_shell import BucketShell, GcsShell, S3Shell
from tests.cli.careless import careless_running
from tests.cli.checking import Check, checking
from tests.cli.shell import Shell
from tests.servers.faults import Refuse
from tests.servers.gcs_server import GcsServer
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Refusal
from tests.servers.s3_server import S3Server
from uploader.place import Capabilities

#: What is tried beside what is tried of any; the strict server of GCS tells no time.
TRIED_BESIDE = {
    "s3": ("create-only object in parts", "copy", "clock"),
    "gs": ("resumable session", "create-only object by session", "parts at once"),
}


def everything_at(there: BucketShell) -> Capabilities:
    """Return the capabilities of a service that does all that there is."""
    return Capabilities(there.server.endpoint, compose=there.scheme == "gs")


@pytest.fixture
def check(
    there: BucketShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run `check --json` in this process, with the environment of a shell at a bucket."""
    return checking(there, capsys, monkeypatch)


def test_a_directory_is_tried_out(shell: Shell) -> None:
    """One line for each finding; nothing of it stays."""
    shell.remote.mkdir()
    ended = shell.run("check", shell.url, spool=False)
    assert ended.returncode == 0, ended.stderr
    destination, *lines = ended.stdout.splitlines()
    assert destination == shell.url
    assert {line.split()[0] for line in lines} == {"ok"}
    assert f"{shell.remote} can be written to" in lines[0]
    assert list(shell.remote.iterdir()) == []


@pytest.mark.parametrize("below", ["", "/runs", "/runs/a"])
def test_a_directory_that_cannot_be_is_refused(shell: Shell, below: str) -> None:
    """A file has its name, or that of a directory on the way; what to do is on a second line."""
    shell.remote.write_text("in the way")
    ended = shell.run("check", shell.url + below, spool=False)
    assert ended.returncode == 5
    _, finding, advice = ended.stdout.splitlines()
    assert finding == f"  refused  directory  {shell.remote} is not a directory"
    assert advice.startswith("           check its permissions")


def test_a_check_needs_a_destination_or_a_spool(shell: Shell) -> None:
    """Exit code 2; a spool of another destination is one as well, and both are named."""
    shell.spool().close()
    neither = shell.run("check", spool=False)
    other = shell.run("check", "file:///elsewhere")
    assert (neither.returncode, other.returncode) == (2, 2)
    assert "uploader check URL, or --spool DIR" in neither.stderr
    assert f"uploads to {shell.url}, not to file:///elsewhere" in other.stderr


def test_a_spools_own_room_is_part_of_its_check(shell: Shell) -> None:
    """Full is a warning: what is in it can be uploaded, so what to do is to drain."""
    shell.spool(max_bytes=10).close()
    shell.put("one", "1234567")
    (room, *_) = shell.json("check")["findings"]
    assert (room["what"], room["verdict"]) == ("room in the spool", "ok")
    assert "; 7 bytes of at most 10 bytes wait in it" in room["detail"]
    shell.put("two", "123")
    full = shell.run("check")
    assert full.returncode == 0
    assert "  warning  room in the spool  10 bytes wait in it, 1 more would pass" in full.stdout
    assert f"upload it with: uploader drain --spool {shell.spool_path}" in full.stdout


def test_a_service_that_does_everything_is_all_well(there: BucketShell) -> None:
    """By command, for people; the objects that were tried with are gone."""
    ended = there.run("check", there.url, spool=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    destination, *lines = ended.stdout.splitlines()
    assert destination == there.url
    assert {line.split()[0] for line in lines} == {"ok"}
    for what in ("create-only put", *TRIED_BESIDE[there.scheme], "delete"):
        assert f"  {what}  " in ended.stdout
    assert there.names() == there.unfinished() == []


def test_json_is_a_contract(check: Check, there: BucketShell) -> None:
    """Keys of the report, of a finding, and of what the service honours."""
    report = check(there.url).report
    assert set(report) == {"destination", "findings", "capabilities", "exit_code"}
    assert report["destination"] == there.url
    for finding in report["findings"]:
        assert set(finding) == {"what", "verdict", "detail", "advice"}
        assert finding["verdict"] in {"ok", "warning", "refused"}
    assert Capabilities(**report["capabilities"]) == everything_at(there)


def test_the_spool_remembers_what_was_found(check: Check, there: BucketShell, nowhere: str) -> None:
    """A service that changed is noticed; the options that were tried are not kept."""
    with there.spool() as spool:
        spool.remembered.capabilities = Capabilities("http://before", conditional_put=False)
    tried = ["--spool", there.spool_path, "--endpoint", there.server.endpoint]
    found = check(*tried, **there.told_of(nowhere))
    assert (found.code, found.verdicts) == (0, {"ok"})
    named = check(*tried, there.url)
    assert found.report["destination"] == named.report["destination"] == there.url
    with there.spool() as spool:
        remembered = spool.remembered.capabilities
        assert remembered
        assert replace(remembered, way=None) == everything_at(there)
        assert spool.options.as_json() == {}


def test_a_service_that_cannot_be_reached_is_told(
    check: Check, there: BucketShell, nowhere: str
) -> None:
    """After a few tries, with its address and how to correct it."""
    found = check(there.url, "--endpoint", nowhere)
    assert found.code == 5
    assert nowhere in found.of("reach")["detail"]
    assert f"--endpoint, or {there.endpoint_variable}" in found.of("reach")["advice"]


def test_a_fault_that_passes_is_tried_again(check: Check, there: BucketShell) -> None:
    """A service that asks for patience at the first request is not: it is told."""
    with FaultProxy(there.server.endpoint) as proxy:
        faults = iter([Refuse(Refusal.INTERNAL)] * 2)
        proxy.decide = lambda _: next(faults, None)
        assert check(there.url, "--endpoint", proxy.endpoint).verdicts == {"ok"}
        faults = iter([Refuse(Refusal.THROTTLED)])
        throttled = check(there.url, "--endpoint", proxy.endpoint)
    assert throttled.code == 5
    assert "try again later" in throttled.of("reach")["advice"]


@pytest.fixture(params=["s3", "gs"])
def careless(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[BucketShell]:
    """A shell at a service that ignores conditions: one of S3, and gcp-storage-emulator."""
    if request.param == "gs":
        emulator: GcsServer = request.getfixturevalue("gcs_emulator")
        yield GcsShell(tmp_path, emulator, emulator.make_bucket())
        return
    ministack: S3Server = request.getfixturevalue("ministack")
    with careless_running(ministack.endpoint) as endpoint:
        yield S3Shell(tmp_path, ministack.at(endpoint), ministack.make_bucket())


def test_a_service_that_ignores_conditions_is_a_warning(careless: BucketShell) -> None:
    """Overwriting works; what is create-only is a dead letter, until collisions are accepted."""
    careless.init()
    checked = careless.run("check")
    careless.put("over", overwrite=True)
    dead = careless.put("new")
    drained = careless.run("drain")
    assert careless.names() == ["over"]
    assert careless.run("retry", dead).returncode == 0
    accepted = careless.run("drain", "--allow-unsafe-create")
    assert careless.names() == ["new", "over"]
    assert checked.returncode == 0, checked.stdout
    assert "  warning  create-only put " in checked.stdout
    assert "that two machines can collide: --allow-unsafe-create\n" in checked.stdout
    assert drained.returncode == 3
    assert f"{careless.server.endpoint} does not honour create-only requests" in drained.stderr
    assert accepted.returncode == 0, accepted.stderr
