"""`uploader check` says what works at a destination, what does not, and what to do about it."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tests.cli.bucket_shell import S3Shell, nobody_listens
from tests.cli.careless import careless_running
from tests.cli.shell import Shell
from tests.servers.faults import Answer, first
from tests.servers.proxy import FaultProxy
from tests.servers.s3_server import S3Server
from uploader.place import Capabilities


class Checked(NamedTuple):
    """How a check ended, and what it said."""

    code: int
    report: dict[str, Any]

    def of(self, what: str) -> dict[str, str]:
        """Return the finding about something."""
        (found,) = [one for one in self.report["findings"] if one["what"] == what]
        return dict(found)

    @property
    def verdicts(self) -> set[str]:
        """What findings there are."""
        return {str(one["verdict"]) for one in self.report["findings"]}


Check = Callable[..., Checked]


@pytest.fixture
def check(
    s3: S3Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run `check --json` in this process, with the environment of a shell at SeaweedFS."""
    for name in set(os.environ) - set(s3.environment):
        monkeypatch.delenv(name)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object, **environment: str) -> Checked:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with s3.in_process() as run_command:
            code = run_command(["check", "--json", *map(str, arguments)])
        said = capsys.readouterr()
        assert said.err == ""
        assert s3.server.secret_key not in said.out
        checked = Checked(code, json.loads(said.out))
        assert checked.report["exit_code"] == code
        return checked

    return run


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


def test_a_service_that_does_everything_is_all_well(s3: S3Shell) -> None:
    """By command, for people; the objects that were tried with are gone."""
    ended = s3.run("check", s3.url, spool=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    destination, *lines = ended.stdout.splitlines()
    assert destination == s3.url
    assert {line.split()[0] for line in lines} == {"ok"}
    for what in ("create-only put", "create-only object in parts", "copy", "clock", "delete"):
        assert f"  {what}  " in ended.stdout
    assert s3.names() == s3.unfinished() == []


def test_json_is_a_contract(check: Check, s3: S3Shell) -> None:
    """Keys of the report, of a finding, and of what the service honours."""
    report = check(s3.url).report
    assert set(report) == {"destination", "findings", "capabilities", "exit_code"}
    assert report["destination"] == s3.url
    for finding in report["findings"]:
        assert set(finding) == {"what", "verdict", "detail", "advice"}
        assert finding["verdict"] in {"ok", "warning", "refused"}
    assert Capabilities(**report["capabilities"]) == Capabilities(s3.server.endpoint)


def test_the_spool_remembers_what_was_found(check: Check, s3: S3Shell) -> None:
    """A service that changed is noticed; the options that were tried are not kept."""
    with s3.spool() as spool:
        spool.remembered.capabilities = Capabilities("http://before", conditional_put=False)
    tried = ["--spool", s3.spool_path, "--endpoint", s3.server.endpoint]
    found = check(*tried, AWS_ENDPOINT_URL=nobody_listens())
    assert (found.code, found.verdicts) == (0, {"ok"})
    assert found.report["destination"] == check(*tried, s3.url).report["destination"] == s3.url
    with s3.spool() as spool:
        remembered = spool.remembered.capabilities
        assert remembered
        assert replace(remembered, way=None) == Capabilities(s3.server.endpoint)
        assert spool.options.as_json() == {}


@pytest.mark.parametrize(
    ("environment", "arguments", "what", "advice"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "hush"}, [], "bucket and credentials", "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, [], "bucket and credentials", "check AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": ""}, [], "bucket and credentials", "set AWS_ACCESS_KEY_ID and"),
        ({}, ["--profile", "nobody"], "open", "a profile, or the node's role"),
        ({}, ["--storage-class", "LUKEWARM"], "put", "correct --storage-class"),
        ({}, ["--sse", "customer"], "open", "set UPLOADER_SSE_CUSTOMER_KEY to the base64 of 32"),
        ({"UPLOADER_SSE_CUSTOMER_KEY": "aHVzaA=="}, ["--sse", "customer"], "open", "base64 of 32"),
        ({"UPLOADER_SSE_CUSTOMER_KEY": "hush!"}, ["--sse", "customer"], "open", "base64 of 32"),
    ],
    ids=["secret", "key id", "none", "profile", "storage class", "no key", "short key", "bad key"],
)
def test_what_is_refused_says_what_to_do(  # noqa: PLR0917  one for each column
    check: Check, s3: S3Shell, environment: dict[str, str], arguments: list[str],
    what: str, advice: str,
) -> None:  # fmt: skip
    """Exit code 5; found in trying or already in opening, and never by a traceback."""
    found = check(s3.url, *arguments, **environment)
    assert found.code == 5
    finding = found.of(what)
    assert finding["verdict"] == "refused"
    assert advice in finding["advice"]
    assert found.report["capabilities"] is None
    assert "hush" not in json.dumps(found.report)
    assert "aHVzaA" not in json.dumps(found.report)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "something else"])
def test_a_bad_file_of_certificates_is_named(
    check: Check, s3: S3Shell, seaweed_tls: S3Server, content: str | None
) -> None:
    """Rather than tried again and again, as if the network were at fault."""
    path = s3.folder / "ca.pem"
    if content:
        path.write_text(content)
    found = check(s3.url, "--endpoint", seaweed_tls.endpoint, "--ca-bundle", path)
    assert found.code == 5
    assert f"cannot use the certificates in {path}" in found.of("open")["detail"]
    assert found.of("open")["advice"] == "correct --ca-bundle"


def test_a_service_with_tls_is_checked_with_its_own_authority(
    check: Check, s3: S3Shell, seaweed_tls: S3Server
) -> None:
    """Without it the advice is the flag that names it."""
    refused = check(s3.url, "--endpoint", seaweed_tls.endpoint)
    assert refused.code == 5
    assert "--ca-bundle" in refused.of("bucket and credentials")["advice"]
    trusted = ["--endpoint", seaweed_tls.endpoint, "--ca-bundle", seaweed_tls.ca_bundle]
    assert check(s3.url, *trusted).verdicts == {"ok"}


def test_a_bucket_that_is_not_there_is_told(check: Check, ministack: S3Server) -> None:
    """With what to do, and where it was looked for."""
    found = check("s3://no-such-bucket/runs", "--endpoint", ministack.endpoint)
    finding = found.of("bucket and credentials")
    assert (found.code, finding["verdict"]) == (5, "refused")
    assert f"no bucket no-such-bucket at {ministack.endpoint}" in finding["detail"]
    assert finding["advice"] == "make it, or correct the destination"


def test_a_service_that_cannot_be_reached_is_told(check: Check, s3: S3Shell) -> None:
    """After a few tries, with its address and how to correct it."""
    endpoint = nobody_listens()
    found = check(s3.url, "--endpoint", endpoint)
    assert found.code == 5
    assert endpoint in found.of("reach")["detail"]
    assert "--endpoint, or AWS_ENDPOINT_URL" in found.of("reach")["advice"]


def test_a_fault_that_passes_is_tried_again(check: Check, s3: S3Shell) -> None:
    """A service that asks for patience at the first request is not: it is told."""
    with FaultProxy(s3.server.endpoint) as proxy:
        proxy.decide = first("head-bucket", Answer(500, "InternalError"), times=2)
        assert check(s3.url, "--endpoint", proxy.endpoint).verdicts == {"ok"}
        proxy.decide = first("head-bucket", Answer(503, "SlowDown"))
        throttled = check(s3.url, "--endpoint", proxy.endpoint)
    assert throttled.code == 5
    assert "try again later" in throttled.of("reach")["advice"]


def test_a_missing_permission_is_named(check: Check, s3: S3Shell) -> None:
    """By the action that a policy has to allow; what uploads do without is a warning."""
    with FaultProxy(s3.server.endpoint) as proxy:
        proxy.decide = first("put", Answer(403, "AccessDenied"))
        put = check(s3.url, "--endpoint", proxy.endpoint)
        proxy.decide = first("list-unfinished", Answer(403, "AccessDenied"), times=9)
        listing = check(s3.url, "--endpoint", proxy.endpoint)
    assert put.code == 5
    assert put.of("put")["advice"] == "allow s3:PutObject"
    assert listing.code == 0
    assert listing.of("list unfinished uploads")["verdict"] == "warning"
    assert "s3:ListBucketMultipartUploads" in listing.of("list unfinished uploads")["detail"]


def test_a_service_that_ignores_conditions_is_a_warning(
    tmp_path: pathlib.Path, ministack: S3Server
) -> None:
    """Overwriting works; what is create-only is a dead letter, until collisions are accepted."""
    with careless_running(ministack.endpoint) as endpoint:
        shell = S3Shell(tmp_path, ministack.at(endpoint), ministack.make_bucket())
        shell.init()
        checked = shell.run("check")
        shell.put("over", overwrite=True)
        dead = shell.put("new")
        drained = shell.run("drain")
        assert shell.names() == ["over"]
        assert shell.run("retry", dead).returncode == 0
        accepted = shell.run("drain", "--allow-unsafe-create")
        assert shell.names() == ["new", "over"]
    assert checked.returncode == 0, checked.stdout
    assert "  warning  create-only put " in checked.stdout
    assert "that two machines can collide: --allow-unsafe-create\n" in checked.stdout
    assert drained.returncode == 3
    assert f"{endpoint} does not honour create-only requests" in drained.stderr
    assert accepted.returncode == 0, accepted.stderr
