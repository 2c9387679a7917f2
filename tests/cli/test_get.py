"""`uploader get` and `uploader verify` read back what was logged."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def uploaded(shell: Shell) -> Shell:
    """A spool whose two artifacts and symlink have arrived."""
    shell.put("ckpt/ep1.pt", "weights 1")
    shell.put("ckpt/ep2.pt", "weights 2")
    shell.link("ckpt/ep2.pt", "ckpt/latest")
    assert shell.run("drain").returncode == 0
    return shell


def test_get_fetches_through_the_spool_or_the_destination_alone(uploaded: Shell) -> None:
    """A directory as DEST takes the name's last segment; a new node needs no spool."""
    here = uploaded.run("get", "ckpt/latest", ".")
    there = uploaded.run("get", "--destination", uploaded.url, "ckpt/latest", "new", spool=False)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert (uploaded.folder / "latest").read_text() == "weights 2"
    assert (uploaded.folder / "new").read_text() == "weights 2"
    assert here.stdout == here.stderr == ""


def test_get_replaces_a_file_only_when_told_to(uploaded: Shell) -> None:
    """Exit code 2 without --overwrite, and the file stays."""
    out = uploaded.file("mine", "out")
    refused = uploaded.run("get", "ckpt/ep1.pt", out)
    assert (refused.returncode, out.read_text()) == (2, "mine")
    assert "out: exists" in refused.stderr
    assert uploaded.run("get", "--overwrite", "ckpt/ep1.pt", out).returncode == 0
    assert out.read_text() == "weights 1"


def test_get_says_what_there_is_not(uploaded: Shell) -> None:
    """No artifact, no spool, no destination: each has its exit code; no file is made."""
    missing = uploaded.run("get", "ckpt/ep9.pt", "out")
    assert missing.returncode == 2
    assert "no artifact ckpt/ep9.pt, in " in missing.stderr
    shutil.rmtree(uploaded.remote)
    unreachable = uploaded.run("get", "ckpt/ep1.pt", "out")
    assert unreachable.returncode == 5
    assert "is its file system mounted?" in unreachable.stderr
    assert uploaded.run("get", "ckpt/ep1.pt", "out", spool=False).returncode == 2
    assert not (uploaded.folder / "out").exists()


def test_get_refuses_a_spool_of_another_destination(uploaded: Shell) -> None:
    """Both URLs are named, so that a person sees which was meant."""
    ended = uploaded.run("get", "--destination", "file:///elsewhere", "ckpt/ep1.pt", "out")
    assert ended.returncode == 2
    assert f"uploads to {uploaded.url}, not to file:///elsewhere" in ended.stderr


def test_verify_finds_all_as_uploaded(uploaded: Shell) -> None:
    """Exit code 0 and the number of artifacts that were looked at; what waits is not."""
    uploaded.put("waiting")
    report = uploaded.json("verify")
    assert set(report) == {"spool", "destination", "deep", "checked", "problems", "exit_code"}
    assert (report["checked"], report["problems"], report["exit_code"]) == (3, [], 0)
    text = uploaded.run("verify", "--deep", "--name", "ckpt/ep*").stdout
    assert text == f"2 artifacts at {uploaded.url}: all as uploaded\n"


def test_verify_finds_each_kind_of_damage(uploaded: Shell) -> None:
    """Exit code 3; each artifact with what is wrong with it."""
    for name in ("short", "other", "flipped", "linked"):
        uploaded.put(name, "content")
    assert uploaded.run("drain").returncode == 0
    remote = uploaded.remote
    (remote / "ckpt/ep1.pt").unlink()
    os.truncate(remote / "short", 3)
    (remote / "flipped").write_bytes(b"cOntent")  # in place: size and metadata stay
    (remote / "other").unlink()
    shutil.copyfile(remote / "ckpt/ep2.pt", remote / "other")
    os.setxattr(remote / "other", "user.uploader.upload_id", b"0" * 32)
    (remote / "linked").unlink()
    (remote / "linked").symlink_to("ckpt/ep2.pt")
    (remote / "ckpt/latest").unlink()
    (remote / "ckpt/latest").symlink_to("ep1.pt")
    ended = uploaded.run("verify", "--deep", "--json")
    problems = {(one["name"], one["problem"]) for one in json.loads(ended.stdout)["problems"]}
    assert ended.returncode == 3
    assert problems == {
        ("ckpt/ep1.pt", "missing"),
        ("short", "size"),
        ("flipped", "checksum"),
        ("other", "replaced"),
        ("linked", "replaced"),
        ("ckpt/latest", "target"),
    }
    text = uploaded.run("verify").stdout  # not deep: the flipped byte is not seen
    assert f"7 artifacts at {uploaded.url}: 5 problems\n" in text
    assert "flipped" not in text


def test_verify_says_when_the_destination_cannot_be_asked(uploaded: Shell) -> None:
    """A disk that is not mounted is no missing artifact: exit code 5."""
    shutil.rmtree(uploaded.remote)
    ended = uploaded.run("verify")
    assert ended.returncode == 5
    assert "is its file system mounted?" in ended.stderr
