"""`uploader check` at a bucket of S3: what is wrong there, and what to do about it."""

from __future__ import annotations

import json

import pytest

from tests.cli.bucket_shell import S3Shell
from tests.cli.checking import Check, checking
from tests.servers.faults import Refuse, first
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Refusal
from tests.servers.s3_server import S3Server


@pytest.fixture
def check(
    s3: S3Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run `check --json` in this process, with the environment of a shell at SeaweedFS."""
    return checking(s3, capsys, monkeypatch)


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


def test_a_missing_permission_is_named(check: Check, s3: S3Shell) -> None:
    """By the action that a policy has to allow; what uploads do without is a warning."""
    with FaultProxy(s3.server.endpoint) as proxy:
        proxy.decide = first(Kind.PUT, Refuse(Refusal.DENIED))
        put = check(s3.url, "--endpoint", proxy.endpoint)
        proxy.decide = first(Kind.LIST_UNFINISHED, Refuse(Refusal.DENIED), times=9)
        listing = check(s3.url, "--endpoint", proxy.endpoint)
    assert put.code == 5
    assert put.of("put")["advice"] == "allow s3:PutObject"
    assert listing.code == 0
    assert listing.of("list unfinished uploads")["verdict"] == "warning"
    assert "s3:ListBucketMultipartUploads" in listing.of("list unfinished uploads")["detail"]
