"""The commands with a bucket as destination: what holds for S3 and for GCS, at real services."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.cli.bucket_shell import BucketShell


class Uploaded(NamedTuple):
    """A spool that was drained, and the ids that its puts printed, by name."""

    shell: BucketShell
    ids: dict[str, str]


@pytest.fixture(scope="module")
def uploaded(
    tmp_path_factory: pytest.TempPathFactory, shell_in: Callable[[pathlib.Path], BucketShell]
) -> Iterator[Uploaded]:
    """Files, a directory and a symlink, put and drained by command; tests leave them alone."""
    shell = shell_in(tmp_path_factory.mktemp("uploaded"))
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


def test_get_follows_a_pointer(uploaded: Uploaded, tmp_path: pathlib.Path, nowhere: str) -> None:
    """On a node that has no spool, the URL says all that is not secret."""
    shell = uploaded.shell
    here = shell.run("get", "ckpt/latest", tmp_path / "here")
    url = f"{shell.url}?endpoint={shell.server.endpoint}"
    there = shell.run(
        "get", "--destination", url, "ckpt/latest", tmp_path / "there", spool=False,
        **shell.told_of(nowhere),
    )  # fmt: skip
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert (tmp_path / "here").read_text() == (tmp_path / "there").read_text() == "weights"


def test_get_fetches_an_object_that_went_in_parts(
    uploaded: Uploaded, tmp_path: pathlib.Path
) -> None:
    """As it was logged."""
    shell = uploaded.shell
    ended = shell.run("get", "ckpt/large.pt", tmp_path / "large")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "large").read_bytes() == (shell.folder / "large").read_bytes()


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


def test_gc_removes_what_an_upload_in_parts_left(there: BucketShell) -> None:
    """Named, once it is old enough; a younger one may be somebody's at work."""
    there.spool().close()
    left = there.leave_unfinished()
    before = there.unfinished()
    assert before
    assert there.json("gc")["removed"] == []
    assert there.unfinished() == before
    (removed,) = there.json("gc", "--older-than", "0s")["removed"]
    assert left in removed
    assert there.unfinished() == []


def test_only_an_overwrite_replaces_an_object(there: BucketShell) -> None:
    """Without it: exit code 3, a dead letter that says why, and the object as it was."""
    there.occupy_object("mine", b"somebody else's")
    there.occupy_object("ours", b"somebody else's")
    dead = there.put("mine", "new")
    replacing = there.put("ours", "new", overwrite=True)
    ended = there.run("drain", "--workers", 1)
    assert ended.returncode == 3, ended.stderr
    assert f"{dead}  mine: mine already exists, but overwrite was set to False" in ended.stderr
    assert there.bytes_of("mine") == b"somebody else's"
    assert there.bytes_of("ours") == b"new"
    assert there.upload_id_of("ours") == replacing


def test_verify_tells_an_object_that_somebody_replaced_or_removed(there: BucketShell) -> None:
    """By the missing upload id, though size and name are the same; no byte is read for it."""
    for name in ("kept", "replaced", "removed"):
        there.put(name, "abc")
    assert there.run("drain", "--workers", 1).returncode == 0
    there.occupy_object("replaced", b"xyz")
    there.remove_object("removed")
    ended = there.run("verify")
    assert ended.returncode == 3
    assert "  replaced: replaced: the object is of another upload, not one of ours" in ended.stdout
    assert "  removed: missing: " in ended.stdout
    assert "kept" not in ended.stdout


def test_the_spool_remembers_where_the_environment_had_its_bucket(
    there: BucketShell, nowhere: str
) -> None:
    """A drain from a shell that says nothing of it finds it; one that does goes over it."""
    there.init()
    there.put("one")
    endpoint = there.environment.pop(there.endpoint_variable)
    elsewhere = there.run("drain", "--timeout", "200ms", **there.told_of(nowhere))
    assert elsewhere.returncode == 4, elsewhere.stderr
    assert there.names() == []
    assert there.run("drain").returncode == 0
    assert there.names() == ["one"]
    assert there.json("check")["capabilities"]["endpoint"] == endpoint
