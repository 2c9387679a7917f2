"""A spool for gs://: what it remembers, and what it shows, before anything is uploaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from uploader import Spool
from uploader.place import Place

URL = "gs://bucket/runs"


@pytest.fixture
def gs(shell: Shell) -> Shell:
    """A shell whose environment says nothing about Google."""
    for name in ("STORAGE_EMULATOR_HOST", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        shell.environment.pop(name, None)
    return shell


def place(shell: Shell) -> Place:
    """Return what opens the store."""
    with Spool(shell.spool_path, producer=False) as spool:
        return spool.place


def test_artifacts_are_taken_in_for_a_bucket_of_google(gs: Shell) -> None:
    """Without credentials, and without asking anybody: training may log before they are there."""
    made = gs.run("init", "--destination", f"{URL}?user-project=my-project")
    assert (made.returncode, made.stdout) == (0, f"{gs.spool_path}\n"), made.stderr
    assert gs.run("put", gs.file(), "ckpt/ep1.pt").returncode == 0
    assert gs.run("link", "ckpt/ep1.pt", "ckpt/latest").returncode == 0
    status = gs.json("status")
    assert status["destination"] == URL
    assert status["counts"]["ready"] == 2
    assert place(gs).options.user_project == "my-project"


def test_another_bucket_of_the_same_name_is_another_destination(gs: Shell) -> None:
    """s3:// and gs:// are not one."""
    assert gs.run("init", "--destination", URL).returncode == 0
    ended = gs.run("put", "--destination", "s3://bucket/runs", gs.file(), "one")
    assert ended.returncode == 2
    assert f"uploads to {URL}, not to s3://bucket/runs" in ended.stderr


def test_the_emulator_that_the_environment_names_is_remembered(gs: Shell) -> None:
    """A drain from another shell finds it; AWS's variables say nothing about it."""
    gs.environment |= {"AWS_ENDPOINT_URL": "http://minio", "REQUESTS_CA_BUNDLE": "/etc/ours.pem"}
    made = gs.run("init", "--destination", URL, STORAGE_EMULATOR_HOST="localhost:9000")
    assert made.returncode == 0, made.stderr
    remembered = place(gs)
    assert remembered.ambient == {
        "endpoint": "http://localhost:9000", "ca_bundle": "/etc/ours.pem"
    }  # fmt: skip
    assert remembered.setting("endpoint", {}) == "http://localhost:9000"
    assert remembered.setting("region", {"AWS_REGION": "x"}) is None


def test_credentials_that_stand_in_an_endpoint_are_not_remembered(gs: Shell) -> None:
    """The spool holds them nowhere."""
    host = "user:hush@localhost:9000"
    assert gs.run("init", "--destination", URL, STORAGE_EMULATOR_HOST=host).returncode == 0
    assert place(gs).ambient == {}
    _holds_nothing_of(gs.spool_path, b"hush")


def test_of_a_credentials_file_only_the_path_is_remembered(gs: Shell) -> None:
    """It may be renewed, and is read at each start; its content stands nowhere in the spool."""
    key = gs.file('{"type": "service_account", "private_key": "hush"}', "keys/uploads.json")
    made = gs.run("init", "--destination", URL, "--credentials-file", "keys/uploads.json")
    assert made.returncode == 0, made.stderr
    assert place(gs).options.credentials_file == str(key)
    _holds_nothing_of(gs.spool_path, b"hush")


def test_options_of_s3_in_the_environment_leave_a_bucket_of_google_alone(gs: Shell) -> None:
    """What both have is taken; what S3 alone has is for other spools."""
    gs.environment |= {"UPLOADER_REGION": "eu-west-1", "UPLOADER_SSE": "aws:kms"}
    gs.environment |= {"UPLOADER_STORAGE_CLASS": "NEARLINE", "UPLOADER_USER_PROJECT": "p"}
    made = gs.run("init", "--destination", URL)
    assert made.returncode == 0, made.stderr
    assert place(gs).options.as_json() == {"storage_class": "NEARLINE", "user_project": "p"}


def test_an_option_of_google_that_is_given_to_s3_is_refused(gs: Shell) -> None:
    """Exit code 2, and the spool is as it was."""
    assert gs.run("init", "--destination", "s3://bucket").returncode == 0
    ended = gs.run("init", "--destination", "s3://bucket", "--user-project", "p")
    assert ended.returncode == 2
    assert "option user_project: only for gs:// destinations, not s3://" in ended.stderr
    assert place(gs).options.as_json() == {}


def checked(shell: Shell, *arguments: object) -> dict[str, str]:
    """Return the one finding of a check that gets nowhere."""
    ended = shell.run("check", URL, "--json", *arguments)
    assert ended.returncode == 5, ended.stderr
    (finding,) = json.loads(ended.stdout)["findings"]
    assert finding["verdict"] == "refused"
    return dict(finding)


def test_an_emulator_that_does_not_answer_is_told_with_the_variable_that_names_it(
    gs: Shell, nowhere: str
) -> None:
    """After a few tries; that of AWS would be no help."""
    gs.environment["STORAGE_EMULATOR_HOST"] = nowhere.removeprefix("http://")
    finding = checked(gs)
    assert finding["what"] == "reach"
    assert nowhere in finding["detail"]
    assert "--endpoint, or STORAGE_EMULATOR_HOST" in finding["advice"]


def test_a_credentials_file_that_is_not_there_is_named(gs: Shell) -> None:
    """Before anybody is asked."""
    finding = checked(gs, "--credentials-file", "keys/none.json")
    assert str(gs.folder / "keys/none.json") in finding["detail"]
    assert "--credentials-file" in finding["advice"]


@pytest.mark.parametrize("flags", [[], ["-vv"]])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"private_key": "hush", "client_email": "J\xf6rg"}', "is not a valid json file"),
        (b'{"private_key": "hush"', "is not a valid json file"),
        (b'{"type": "service_account", "private_key": "hush"}', "missing fields"),
    ],
)
def test_a_credentials_file_that_is_no_good_is_refused_without_repeating_it(
    gs: Shell, content: bytes, says: str, flags: list[str]
) -> None:
    """By its path, and by what is wrong with it; messages are stored and logged."""
    key = gs.file(content, "key.json")
    ended = gs.run("check", URL, "--credentials-file", key, *flags)
    assert ended.returncode == 5
    assert str(key) in ended.stdout
    assert says in ended.stdout
    assert "hush" not in ended.stdout + ended.stderr


def test_without_any_credentials_it_is_told_where_they_may_stand(gs: Shell) -> None:
    """Those of gcloud are looked for in the home directory, and the node is asked for its own."""
    names = [name for name in gs.environment if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_"))]
    for name in names:
        del gs.environment[name]
    gs.environment |= {"HOME": str(gs.folder), "NO_GCE_CHECK": "true"}
    finding = checked(gs)
    assert "credentials" in finding["detail"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in finding["advice"]


def _holds_nothing_of(spool: Path, secret: bytes) -> None:
    found = [path for path in spool.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert not found
