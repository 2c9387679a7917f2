"""The options that a spool remembers: as flags, in the URL, and from the environment."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from tests.cli.shell import Shell
from uploader import Spool
from uploader.config import SCHEMES_OF, Options, fitting

URL = "s3://bucket/runs"
GS_URL = "gs://bucket/runs"


def remembered(shell: Shell) -> dict[str, Any]:
    """Return what differs from the defaults."""
    with Spool(shell.spool_path, producer=False) as spool:
        return spool.options.as_json()


def run(shell: Shell, *arguments: str) -> int:
    """Run a command on the shell's spool, in this process."""
    command, *more = arguments
    with shell.in_process() as run_command:
        return run_command([command, "--spool", str(shell.spool_path), *more])


#: option -> a value as people write it, and as it is stored
GIVEN: dict[str, tuple[str, Any]] = {
    "symlink_mode": ("copy", "copy"),
    "part_size": ("8MiB", 8 << 20),
    "max_attempts": ("3", 3),
    "keep_done": ("1d", 86400.0),
    "max_bandwidth": ("50MiB", 50 << 20),
    "stall_timeout": ("2m", 120.0),
    "endpoint": ("https://minio:9000", "https://minio:9000"),
    "region": ("eu-west-1", "eu-west-1"),
    "profile": ("training", "training"),
    "addressing_style": ("path", "path"),
    "storage_class": ("STANDARD_IA", "STANDARD_IA"),
    "sse": ("aws:kms", "aws:kms"),
    "kms_key_id": ("alias/x", "alias/x"),
    "acl": ("private", "private"),
    "tags": ("a=1&b=2", "a=1&b=2"),
    "metadata": ("c=3", "c=3"),
    "user_project": ("my-project", "my-project"),
    "credentials_file": ("/key.json", "/key.json"),
    "impersonate_service_account": ("up@my.iam", "up@my.iam"),
    "ca_bundle": ("/ca.pem", "/ca.pem"),
}
SWITCHES = ("allow_unsafe_create", "node_report", "requester_pays")
KMS_KEY = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
FOR_GCS = {"acl": ("projectPrivate", "projectPrivate"), "kms_key_id": (KMS_KEY, KMS_KEY)}


def flag(option: str) -> str:
    """Return an option's flag."""
    return f"--{option.replace('_', '-')}"


def test_every_option_is_a_flag() -> None:
    """Exactly the options of `config`, each for some destination."""
    assert {*GIVEN, *SWITCHES} == {field.name for field in fields(Options)}


@pytest.mark.parametrize(("url", "given"), [(URL, GIVEN), (GS_URL, {**GIVEN, **FOR_GCS})])
def test_an_option_is_remembered_until_it_is_put_back(
    shell: Shell, url: str, given: dict[str, tuple[str, Any]]
) -> None:
    """Each that the destination can have; an empty value, or `--no-`, is the default again."""
    given = fitting(given, url[:2])
    switches = fitting(dict.fromkeys(SWITCHES, True), url[:2])
    words = [word for option, (text, _) in given.items() for word in (flag(option), text)]
    assert run(shell, "init", "--destination", url, *words, *map(flag, switches)) == 0
    stored = {option: value for option, (_, value) in given.items()}
    assert remembered(shell) == stored | switches
    assert run(shell, "init", "--destination", url) == 0
    assert remembered(shell) == stored | switches, "what is not said stays"
    back = [word for option in given for word in (flag(option), "")]
    off = [f"--no-{option.replace('_', '-')}" for option in switches]
    assert run(shell, "init", "--destination", url, *back, *off) == 0
    assert remembered(shell) == {}


def test_a_flag_goes_over_the_url_and_that_over_the_environment(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source is asked only for what those before it leave open."""
    for name in ("REGION", "ACL", "PROFILE"):
        monkeypatch.setenv(f"UPLOADER_{name}", "variable")
    monkeypatch.setenv("UPLOADER_STORAGE_CLASS", "")
    url = f"{URL}?region=url&acl=url&storage-class=url"
    assert run(shell, "init", "--destination", url, "--region", "flag") == 0
    assert remembered(shell) == {
        "region": "flag", "acl": "url", "profile": "variable", "storage_class": "url"
    }  # fmt: skip


def test_the_environments_options_of_s3_leave_a_directory_alone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that is set for other spools makes none of a directory unusable."""
    monkeypatch.setenv("UPLOADER_PART_SIZE", "8M")
    monkeypatch.setenv("UPLOADER_ENDPOINT", "http://minio:9000")
    monkeypatch.setenv("UPLOADER_SSE", "no such encryption")
    assert run(shell, "init", "--destination", shell.url) == 0, capsys.readouterr().err
    assert run(shell, "put", "--destination", shell.url, str(shell.file()), "one") == 0
    drained = shell.run("drain", UPLOADER_REGION="eu-west-1")
    assert drained.returncode == 0, drained.stderr
    for command in ("verify", "gc", "check", "status"):
        assert run(shell, command) == 0, capsys.readouterr().err
    out = str(shell.folder / "out")
    assert run(shell, "get", "one", out) == 0, capsys.readouterr().err
    assert run(shell, "get", "--destination", shell.url, "one", f"{out}2") == 0
    assert remembered(shell) == {"part_size": 8 << 20}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--destination", "DIRECTORY", "--region", "x"], "option region: only for s3://"),
        (["--destination", GS_URL, "--sse", "AES256"], "only for s3:// destinations, not gs://"),
        (["--destination", f"{GS_URL}?tags=a%3D1"], "option tags: only for s3:// destinations"),
        (["--destination", URL, "--user-project", "p"], "only for gs:// destinations, not s3://"),
        (["--destination", GS_URL, "--acl", "public-read"], "option acl: write one of "),
        (["--destination", GS_URL, "--kms-key-id", "alias/x"], "write the key's resource name"),
        (["--destination", GS_URL, "--credentials-file", '{"hush": 1}'], "the path of a file"),
        (["--destination", "gs://hush@bucket"], "set GOOGLE_APPLICATION_CREDENTIALS"),
        (["--destination", f"{URL}?sse=rot13"], "option sse: write one of AES256, aws:kms"),
        (["--destination", f"{URL}?regoin=x"], "no such option: regoin; there are: "),
        (["--destination", URL, "--endpoint", "minio:9000"], "write a URL, as https://"),
        (["--destination", URL, "--part-size", "0"], "option part_size: must be at least 1"),
        (["--destination", "s3://key:hush@bucket"], "credentials do not belong in a URL"),
        (["--destination", URL, "--endpoint", "http://u:hush@h"], "do not belong in a URL"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_made(
    shell: Shell, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line, no spool, and no secret repeated."""
    assert run(shell, "init", *(shell.url if one == "DIRECTORY" else one for one in arguments)) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert "hush" not in said.err
    assert not shell.spool_path.exists()


def test_a_bad_variable_is_refused_by_its_option(shell: Shell) -> None:
    """Where it means something; before anything is made."""
    ended = shell.run("init", "--destination", URL, UPLOADER_SSE="rot13")
    assert ended.returncode == 2
    assert "option sse: write one of " in ended.stderr
    assert not shell.spool_path.exists()


@pytest.mark.parametrize("command", ["init", "drain", "run", "check"])
def test_options_of_the_destination_have_a_heading_of_their_own(
    shell: Shell, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the ordinary ones, so that those stay readable; the secret one is a variable."""
    assert run(shell, command, "--help") == 0
    ordinary, _, of_destination = capsys.readouterr().out.partition("\nDestination options:\n")
    assert "--log-format" in ordinary
    assert "--endpoint" not in ordinary
    for option in (*SCHEMES_OF, "max_bandwidth", "stall_timeout", *SWITCHES):
        assert f"  {flag(option)} " in of_destination
    said = " ".join(of_destination.split())
    assert "as eu-west-1. [s3; remembered]" in said
    assert "whose requester pays. [gs; remembered]" in said
    assert "as STANDARD_IA or NEARLINE. [s3, gs; remembered]" in said
    assert "$UPLOADER_SSE_CUSTOMER_KEY" in of_destination
    assert "customer-key" not in of_destination


def test_options_of_a_directory_stand_in_a_report(shell: Shell) -> None:
    """What `check` tries with a flag is not remembered."""
    shell.spool().close()
    ended = shell.run("check", "--json", "--stall-timeout", "5s")
    assert json.loads(ended.stdout)["exit_code"] == 0
    assert remembered(shell) == {}
