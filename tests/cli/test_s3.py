"""The commands with a bucket of S3 as destination: what S3 alone has."""

from __future__ import annotations

import pathlib

from tests.cli.bucket_shell import S3Shell, arguments_of_family, files_with
from tests.servers.s3_server import S3Server


def test_a_wrong_secret_makes_no_dead_letters(s3: S3Shell) -> None:
    """Exit code 5 and what to set; with the right one everything arrives."""
    s3.init()
    upload = s3.put("one")
    refused = s3.run("drain", AWS_SECRET_ACCESS_KEY="a-wrong-secret")
    assert refused.returncode == 5, refused.stderr
    assert "check AWS_SECRET_ACCESS_KEY, or the profile. Nothing is lost" in refused.stderr
    assert "a-wrong-secret" not in refused.stderr + refused.stdout
    assert s3.state(upload) == "ready"
    assert s3.run("drain").returncode == 0
    assert s3.names() == ["one"]


def test_a_bucket_that_is_not_there_makes_no_dead_letters(
    tmp_path: pathlib.Path, ministack: S3Server
) -> None:
    """Exit code 5, and what to do; SeaweedFS would make the bucket."""
    shell = S3Shell(tmp_path, ministack, "no-such-bucket")
    shell.init()
    upload = shell.put("one")
    refused = shell.run("drain")
    assert refused.returncode == 5, refused.stderr
    assert f"there is no bucket no-such-bucket at {ministack.endpoint}; make it" in refused.stderr
    assert shell.state(upload) == "ready"


def test_credentials_in_the_environments_endpoint_are_not_remembered(s3: S3Shell) -> None:
    """The rest is: nothing that is secret is ever in the spool."""
    s3.init(AWS_ENDPOINT_URL="http://user:hush@127.0.0.1:1", AWS_REGION="eu-west-1")
    assert files_with(s3.spool_path, "hush") == []
    assert files_with(s3.spool_path, "eu-west-1") != []


def test_secrets_are_in_no_output_file_or_argument(s3: S3Shell) -> None:
    """Neither of a drain that says everything, nor of the workers that it starts."""
    key = "c2VjcmV0LWN1c3RvbWVyLWtleS1vZi0zMi1ieXRlcy4="
    secrets = [s3.server.secret_key, key, "secret-customer-key"]
    s3.init("--sse", "customer", UPLOADER_SSE_CUSTOMER_KEY=key)
    s3.put("one")
    hold = s3.file("", "hold")
    process = s3.start_supervisor(
        "drain", "-vv", UPLOADER_SSE_CUSTOMER_KEY=key, UPLOADER_FAULTS=f"hold={hold},only=put"
    )
    s3.wait_until((s3.folder / "hold.reached").exists)
    arguments = arguments_of_family(process.pid)
    hold.unlink()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(arguments) > 2, "the drain, its fork server, its worker"
    assert any("drain" in line for line in arguments)
    for secret in secrets:
        assert secret not in output + errors + "".join(arguments)
        assert files_with(s3.spool_path, secret) == []
    assert s3.run("get", "one", "out", UPLOADER_SSE_CUSTOMER_KEY=key).returncode == 0
    assert s3.run("get", "one", "out2").returncode == 5, "it was stored with that key"
