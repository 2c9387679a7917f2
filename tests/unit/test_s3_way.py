"""Know when what the SDK found out still holds, and whose keys it would take."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import create_credential_resolver
from botocore.session import Session

from uploader.errors import AuthError
from uploader.place import Capabilities, Place, Way
from uploader.store.opening import home_of, open_store
from uploader.store.s3.bucket import Bucket
from uploader.store.s3.store import S3Store
from uploader.store.s3.way import keys_in, known_way, settings_of

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
PLACE = Place.of("s3://bucket/run")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose files do not exist yet."""
    return {
        **KEYS,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def knowing(place: Place, environ: dict[str, str], **changed: str) -> Place:
    """Return the place with a way that was found out in this environment."""
    at = "http://127.0.0.1:9"
    way = Way(settings_of(place, environ), at, f"{at}/bucket/", "us-east-1", "s3", "")
    return replace(place, capabilities=Capabilities(at, way=replace(way, **changed)))


def test_a_way_holds_while_nothing_changes(environ: dict[str, str]) -> None:
    """The prefix below the bucket does not count, nor whose keys they are."""
    place = knowing(PLACE, environ)
    others = {**environ, "AWS_ACCESS_KEY_ID": "other", "AWS_SESSION_TOKEN": "t", "HOME": "/x"}
    assert known_way(place, environ) is not None
    assert known_way(replace(place, url="s3://bucket/run2"), others) is not None


@pytest.mark.parametrize(
    "name", ["AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "HTTPS_PROXY", "no_proxy"]
)
def test_a_way_does_not_hold_in_another_environment(environ: dict[str, str], name: str) -> None:
    """Any variable that botocore may read for it."""
    assert known_way(knowing(PLACE, environ), {**environ, name: "x"}) is None


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_way_does_not_hold_after_a_file_of_botocores_was_written(
    environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    """First it was not there, then it was, then it said something else."""
    before = knowing(PLACE, environ)
    (tmp_path / name).write_text("[default]\nregion=eu-west-1\n")
    assert known_way(before, environ) is None
    before = knowing(PLACE, environ)
    (tmp_path / name).write_text("[default]\nregion=eu-central-1\n")
    assert known_way(before, environ) is None


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://127.0.0.1:10"},
        {"region": "eu-west-1"},
        {"profile": "p"},
        {"addressing_style": "path"},
        {"ca_bundle": "/ca.pem"},
    ],
    ids=lambda it: next(iter(it)),
)
def test_a_way_does_not_hold_for_other_options(
    environ: dict[str, str], options: dict[str, Any]
) -> None:
    """Each that says where the bucket is."""
    place = knowing(PLACE, environ)
    assert known_way(replace(place, options=place.options.changed_by(options)), environ) is None
    assert known_way(replace(place, url="s3://other"), environ) is None
    assert known_way(replace(place, ambient={"region": "eu-west-1"}), environ) is None


def test_a_way_whose_certificates_are_gone_does_not_hold(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Those of a Python environment that was made anew, say."""
    place = knowing(PLACE, environ, certificates=str(tmp_path / "ca.pem"))
    assert known_way(place, environ) is None
    (tmp_path / "ca.pem").touch()
    assert known_way(place, environ) is not None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"AWS_SESSION_TOKEN": "session"},
        {"AWS_SECURITY_TOKEN": "security", "AWS_SESSION_TOKEN": "session"},
        {"AWS_SECURITY_TOKEN": "", "AWS_SESSION_TOKEN": "session"},
        {"AWS_PROFILE": "somebody"},
    ],
    ids=lambda it: "+".join(it) or "none",
)
def test_keys_in_the_environment_are_those_that_botocore_takes(
    environ: dict[str, str],
    tmp_path: Path,
    more: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the files say, and with a profile named by a variable too."""
    text = "[default]\naws_access_key_id=f\naws_secret_access_key=g\n"
    (tmp_path / "credentials").write_text(text + text.replace("default", "somebody"))
    for name, value in {**environ, **more}.items():
        monkeypatch.setenv(name, value)
    found = create_credential_resolver(Session()).load_credentials()
    assert found is not None
    assert keys_in(PLACE, {**environ, **more}) == tuple(found.get_frozen_credentials())[:3]


@pytest.mark.parametrize(
    "changed",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_CREDENTIAL_EXPIRATION": "2030-01-01T00:00:00Z"},
    ],
    ids=lambda it: next(iter(it)),
)
def test_other_keys_are_left_to_botocore(environ: dict[str, str], changed: dict[str, str]) -> None:
    """Also half of a pair: what is wrong with it is botocore's to say."""
    assert keys_in(PLACE, {**environ, **changed}) is None
    profile = replace(PLACE, options=PLACE.options.changed_by({"profile": "p"}))
    assert keys_in(profile, environ) is None


def test_a_store_whose_way_is_known_does_not_load_the_sdk(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither itself nor beforehand for the workers; one whose way is not known does."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    known = knowing(PLACE, dict(os.environ))
    assert home_of(known) == "uploader.store.s3.ready"
    assert home_of(PLACE) == "uploader.store.s3.warm"
    loaded = []
    for place in (known, PLACE):
        store = open_store(place)
        assert isinstance(store, S3Store)
        loaded.append(store._bucket._opened_sdk is not None)
        store.close()
    assert loaded == [False, True]


def test_credentials_in_an_endpoints_url_are_not_remembered(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is called as botocore does; what is told and stored of it is without them."""
    for name, value in {**environ, "AWS_ENDPOINT_URL": "http://user:hush@127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(PLACE)
    assert bucket.endpoint == "http://127.0.0.1:9"
    assert bucket.way is None
    bucket.close()


def test_credentials_that_are_gone_are_waited_for_though_the_way_is_known(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool was filled with keys in the environment, and is drained from another shell."""
    for name, value in {**environ, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in KEYS:
        monkeypatch.delenv(name)
    bucket = Bucket(knowing(PLACE, dict(os.environ)))
    with pytest.raises(AuthError, match="set AWS_ACCESS_KEY_ID and"):
        bucket.ask("head_bucket")
    bucket.close()
