"""The commands with a bucket as destination, at real services."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.cli.s3_shell import S3Shell, nobody_listens
from tests.servers.s3_server import S3Server


class Uploaded(NamedTuple):
    """A spool that was drained, and the ids that its puts printed, by name."""

    shell: S3Shell
    ids: dict[str, str]


@pytest.fixture(scope="module")
def uploaded(
    tmp_path_factory: pytest.TempPathFactory, seaweed: S3Server, seaweed_bucket: str
) -> Iterator[Uploaded]:
    """Files, a directory and a symlink, put and drained by command; tests leave them alone."""
    shell = S3Shell(tmp_path_factory.mktemp("uploaded"), seaweed, seaweed_bucket)
    shell.init("--part-size", "5MiB")
    shell.file("first", "samples/a.txt")
    shell.file("second", "samples/deep/b.txt")
    shell.file(os.urandom(1000) * 34_000, "large")
    puts = {
        "ckpt/ep1.pt": shell.run("put", shell.file("weights"), "ckpt/ep1.pt"),
        "samples": shell.run("put", "-r", "samples", "samples"),
        "ckpt/large.pt": shell.run("put", "large", "ckpt/large.pt"),
        "ckpt/latest": shell.run("link", "ckpt/ep1.pt", "ckpt/latest"),
    }
    assert {ended.returncode for ended in puts.values()} == {0}, puts
    drained = shell.run("drain", "--workers", 2)
    assert drained.returncode == 0, drained.stderr
    assert f"uploaded 5 artifacts (32.4 MiB) to {shell.url} in " in drained.stderr
    yield Uploaded(shell, {name: ended.stdout.strip() for name, ended in puts.items()})
    shell.end()


def test_a_drain_leaves_the_objects_with_their_uploads_ids(uploaded: Uploaded) -> None:
    """Whole, in parts, of a directory; a symlink is the object that Composer reads."""
    shell, ids = uploaded
    assert shell.names() == [
        "ckpt/ep1.pt", "ckpt/large.pt", "ckpt/latest.symlink", "samples/a.txt", "samples/deep/b.txt"
    ]  # fmt: skip
    assert shell.bytes_of("ckpt/ep1.pt") == b"weights"
    assert shell.bytes_of("ckpt/large.pt") == (shell.folder / "large").read_bytes()
    assert shell.bytes_of("ckpt/latest.symlink").decode() == f"{shell.prefix}/ckpt/ep1.pt"
    assert shell.upload_id_of("ckpt/ep1.pt") == ids["ckpt/ep1.pt"]
    assert shell.upload_id_of("ckpt/large.pt") == ids["ckpt/large.pt"]
    assert shell.upload_id_of("ckpt/latest.symlink") == ids["ckpt/latest"]
    of_samples = [shell.upload_id_of(f"samples/{name}") for name in ("a.txt", "deep/b.txt")]
    assert of_samples == ids["samples"].split()
    assert shell.unfinished() == []


def test_get_follows_a_pointer(uploaded: Uploaded, tmp_path: pathlib.Path) -> None:
    """On a node that has no spool, the URL says all that is not secret."""
    shell = uploaded.shell
    here = shell.run("get", "ckpt/latest", tmp_path / "here")
    url = f"{shell.url}?endpoint={shell.server.endpoint}"
    there = shell.run(
        "get", "--destination", url, "ckpt/latest", tmp_path / "there", spool=False,
        AWS_ENDPOINT_URL=nobody_listens(),
    )  # fmt: skip
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert (tmp_path / "here").read_text() == (tmp_path / "there").read_text() == "weights"


@pytest.mark.parametrize("how", [[], ["--deep"]], ids=["by heads", "byte by byte"])
def test_verify_finds_everything_as_it_was_uploaded(uploaded: Uploaded, how: list[str]) -> None:
    """Whole objects, parts and pointers."""
    found = uploaded.shell.json("verify", *how)
    assert (found["checked"], found["problems"], found["exit_code"]) == (5, [], 0)


def test_status_of_a_drained_spool_names_the_bucket(uploaded: Uploaded) -> None:
    """As it was given, without what stands in the environment."""
    status = uploaded.shell.json("status")
    assert status["destination"] == uploaded.shell.url
    assert status["counts"]["done"] == 5
    assert status["bytes"]["pending"] == 0


def test_gc_removes_what_an_upload_in_parts_left(s3: S3Shell) -> None:
    """Named, once it is old enough; a younger one may be somebody's at work."""
    s3.init()
    s3.begin_parts("ckpt/lost.pt")
    assert s3.json("gc")["removed"] == []
    assert s3.unfinished() == [f"{s3.prefix}/ckpt/lost.pt"]
    (removed,) = s3.json("gc", "--older-than", "0s")["removed"]
    assert "ckpt/lost.pt" in removed
    assert s3.unfinished() == []


def test_only_an_overwrite_replaces_an_object(s3: S3Shell) -> None:
    """Without it: exit code 3, a dead letter that says why, and the object as it was."""
    s3.occupy_object("mine", b"somebody else's")
    s3.occupy_object("ours", b"somebody else's")
    s3.init()
    dead = s3.put("mine", "new")
    replacing = s3.put("ours", "new", overwrite=True)
    ended = s3.run("drain", "--workers", 1)
    assert ended.returncode == 3, ended.stderr
    assert f"{dead}  mine: mine already exists, but overwrite was set to False" in ended.stderr
    assert s3.bytes_of("mine") == b"somebody else's"
    assert s3.bytes_of("ours") == b"new"
    assert s3.upload_id_of("ours") == replacing


def test_verify_tells_an_object_that_somebody_replaced(s3: S3Shell) -> None:
    """By the missing upload id, though size and name are the same; no byte is read for it."""
    s3.init()
    s3.put("one", "abc")
    assert s3.run("drain", "--workers", 1).returncode == 0
    s3.occupy_object("one", b"xyz")
    ended = s3.run("verify")
    assert ended.returncode == 3
    assert "  one: replaced: the object is of another upload, not one of ours" in ended.stdout


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


def test_the_spool_remembers_where_the_environment_had_its_bucket(s3: S3Shell) -> None:
    """A drain from a shell that says nothing of it finds it; one that does goes over it."""
    s3.init()
    s3.put("one")
    endpoint = s3.environment.pop("AWS_ENDPOINT_URL")
    elsewhere = nobody_listens()
    there = s3.run("drain", "--timeout", "200ms", AWS_ENDPOINT_URL=elsewhere)
    assert there.returncode == 4, there.stderr
    assert s3.names() == []
    assert s3.run("drain").returncode == 0
    assert s3.names() == ["one"]
    assert s3.json("check")["capabilities"]["endpoint"] == endpoint


def test_credentials_in_the_environments_endpoint_are_not_remembered(s3: S3Shell) -> None:
    """The rest is: nothing that is secret is ever in the spool."""
    s3.init(AWS_ENDPOINT_URL="http://user:hush@127.0.0.1:1", AWS_REGION="eu-west-1")
    assert _files_with(s3.spool_path, b"hush") == []
    assert _files_with(s3.spool_path, b"eu-west-1") != []


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
    arguments = [_arguments(pid) for pid in _family(process.pid)]
    hold.unlink()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert len(arguments) > 2, "the drain, its fork server, its worker"
    assert any("drain" in line for line in arguments)
    for secret in secrets:
        assert secret not in output + errors + "".join(arguments)
        assert _files_with(s3.spool_path, secret.encode()) == []
    assert s3.run("get", "one", "out", UPLOADER_SSE_CUSTOMER_KEY=key).returncode == 0
    assert s3.run("get", "one", "out2").returncode == 5, "it was stored with that key"


def _files_with(folder: pathlib.Path, secret: bytes) -> list[pathlib.Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret in path.read_bytes()]


def _arguments(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]
