"""`uploader check` at a bucket of GCS: what is wrong there, and what to do about it.

The two emulators are not as GCS, each in its own way: what is not is found.
"""

from __future__ import annotations

import pathlib

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tests.cli.bucket_shell import GcsShell, StrictShell
from tests.cli.checking import Check, checking
from tests.servers.gcs_server import GcsServer


@pytest.fixture
def check(
    gcs: StrictShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run `check --json` in this process, with the environment of a shell at the strict server."""
    return checking(gcs, capsys, monkeypatch)


@pytest.fixture
def check_locked(
    locked: GcsShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run it with the environment of a shell at a server that wants a token."""
    return checking(locked, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("denied", "what", "verdict", "says"),
    [
        ("storage.objects.create", "put", "refused", "allow storage.objects.create"),
        ("storage.objects.get", "bucket and credentials", "refused", "allow storage.objects.get"),
        ("storage.objects.list", "list", "warning", "allow storage.objects.list"),
        ("storage.objects.delete", "guarded overwrite", "warning", "storage.objects.delete"),
    ],
)
def test_a_missing_permission_is_named(  # noqa: PLR0917  one for each column
    check: Check, gcs: StrictShell, denied: str, what: str, verdict: str, says: str
) -> None:
    """As a role has to allow it; what uploads do without is a warning."""
    with gcs.server.behaving(deny=[denied]):
        checked = check(gcs.url)
    finding = checked.of(what)
    assert (finding["verdict"], checked.code) == (verdict, 5 if verdict == "refused" else 0)
    assert says in finding["detail"] + finding["advice"]


def test_a_bucket_that_is_not_there_is_told(check: Check) -> None:
    """With what to do about it."""
    found = check("gs://no-such-bucket/runs")
    finding = found.of("bucket and credentials")
    assert (found.code, finding["verdict"]) == (5, "refused")
    assert "The specified bucket does not exist" in finding["detail"]
    assert finding["advice"] == "make the bucket, or correct the destination"


def test_a_bucket_whose_requests_somebody_pays_for_asks_who(check: Check, gcs: StrictShell) -> None:
    """The advice is the flag that names the project; with it all is well."""
    with gcs.server.behaving(user_project="payer"):
        nobody = check(gcs.url)
        payer = check(gcs.url, "--user-project", "payer")
    assert nobody.code == 5
    assert "--user-project" in nobody.of("bucket and credentials")["advice"]
    assert payer.verdicts == {"ok"}


def test_a_service_that_wants_a_token_is_given_that_of_the_credentials_file(
    check_locked: Check, locked: GcsShell
) -> None:
    """By TLS, whose authority a variable or the flag names; without it that is the advice."""
    assert check_locked(locked.url).verdicts == {"ok"}
    authority = locked.environment["REQUESTS_CA_BUNDLE"]
    others = {"REQUESTS_CA_BUNDLE": DEFAULT_CA_BUNDLE_PATH}
    assert check_locked(locked.url, "--ca-bundle", authority, **others).verdicts == {"ok"}
    unknown = check_locked(locked.url, REQUESTS_CA_BUNDLE="")
    assert unknown.code == 5
    assert "--ca-bundle" in unknown.of("bucket and credentials")["advice"]


def test_a_token_that_is_refused_is_told(check_locked: Check, locked: GcsShell) -> None:
    """With what to do, and without the token."""
    locked.log_in("hush")
    refused = check_locked(locked.url)
    assert refused.code == 5
    finding = refused.of("bucket and credentials")
    assert "renew the credentials" in finding["advice"]
    assert "hush" not in str(refused.report)


#: What each emulator does not do as GCS does; `tests/servers` says how.
NOT_AS_GCS = {
    "fake_gcs": {
        "CRC32C", "guarded delete", "resumable session", "parts at once", "create-only copy",
    },
    "gcs_emulator": {
        "create-only put", "guarded overwrite", "guarded delete", "create-only object by session",
        "parts at once", "create-only copy",
    },
}  # fmt: skip


@pytest.fixture(params=list(NOT_AS_GCS))
def emulator(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> GcsShell:
    """A shell at each emulator."""
    server: GcsServer = request.getfixturevalue(request.param)
    return GcsShell(tmp_path, server, server.make_bucket())


def test_what_an_emulator_does_not_do_is_found(
    request: pytest.FixtureRequest,
    emulator: GcsShell,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Uploads work: each is a warning, with what to do; nothing of the trial stays."""
    found = checking(emulator, capsys, monkeypatch)(emulator.url)
    assert (found.code, found.verdicts) == (0, {"ok", "warning"})
    assert found.all_that_are("warning") == NOT_AS_GCS[request.node.callspec.params["emulator"]]
    assert all(one["advice"] for one in found.report["findings"] if one["verdict"] == "warning")
    assert "clock" in found.all_that_are("ok")
    assert emulator.names() == []
