"""Log in to GCS with real credentials, and send no token to whom it is not for."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.logged_in import (
    VARIABLE,
    Scene,
    Servers,
    logging_in,
    serving,
    use_all,
)
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import Said, scripted
from tests.servers.strict_gcs.running import StrictGcs
from tests.servers.tokens import ANOTHER, IAM, Key
from uploader.drain.steps import PutWhole
from uploader.drain.worker import Worker
from uploader.errors import (
    AuthError,
    ErrorClass,
    TransientError,
)
from uploader.model import PutMode
from uploader.store.gcs.sessions import Session
from uploader.store.testing.given import content_of, names_in

NAME = "a/name"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """What is started once for all tests."""
    with serving(tmp_path_factory.mktemp("tls")) as servers:
        yield servers


@pytest.fixture
def scene(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """An environment that says nothing about Google, and does not let anything leave."""
    with logging_in(servers, tmp_path, monkeypatch) as scene:
        yield scene


# -- a service account --------------------------------------------------------------------------


def test_a_service_accounts_file_logs_in(scene: Scene) -> None:
    """Named by an option: one login is enough for all there is to do."""
    use_all(scene, scene.open())
    assert scene.tokens.refused == []
    assert len(scene.tokens.given) == 1


def test_the_default_credentials_are_those_of_the_environment(scene: Scene) -> None:
    """As every program of Google's finds them."""
    scene.patch.setenv(VARIABLE, str(scene.file()))
    store = scene.open(**{VARIABLE: "yes"})
    scene.artifacts.of(b"small").put(store, NAME)
    assert names_in(store) == [NAME]
    assert len(scene.tokens.given) == 1


def test_an_option_goes_over_the_environment(scene: Scene) -> None:
    """The file that it names need not even be there."""
    scene.patch.setenv(VARIABLE, "/nonexistent/account.json")
    scene.artifacts.of(b"small").put(scene.open(), NAME)


def test_a_token_that_is_about_to_end_is_renewed_without_a_word(scene: Scene) -> None:
    """Before each request here; the service takes none but the last: no request fails."""
    scene.let_tokens_end_soon()
    use_all(scene, scene.open())
    assert len(scene.tokens.given) > 20
    assert scene.tokens.refused == []


def test_a_token_that_is_refused_uses_up_no_attempt(scene: Scene) -> None:
    """It was taken back before its time: a worker's next try has logged in anew."""
    worker = Worker(scene.place(credentials_file=scene.file()))

    def put(name: str) -> ErrorClass | None:
        artifact = scene.artifacts.of(b"content")
        step = PutWhole(name, artifact.body, PutMode.OVERWRITE, artifact.meta)
        failure = worker.answer(step).failure
        return failure.error_class if failure else None

    assert put("one") is None
    scene.service.control(token="another")
    assert put("two") is ErrorClass.AUTH
    assert put("two") is None
    worker._close()
    assert len(scene.tokens.given) == 2


@pytest.mark.parametrize("asking", ["put", "list", "read", "delete"])
def test_a_refused_token_is_an_auth_error_whichever_way_it_went(scene: Scene, asking: str) -> None:
    """Straight, or by the SDK: said with what to do, and asked once."""
    store = scene.open()
    artifact = scene.artifacts.of(b"content")
    artifact.put(store, NAME)
    scene.service.control(token="another", clear_counts=True)
    ask: dict[str, Callable[[], object]] = {
        "put": lambda: scene.artifacts.of(b"more").put(store, "more"),
        "list": lambda: names_in(store),
        "read": lambda: content_of(store, NAME),
        "delete": lambda: store.delete(NAME),
    }
    with pytest.raises(AuthError, match="authError: Invalid Credentials; renew the credentials"):
        ask[asking]()
    asked = scene.service.control()["requests"]
    assert sum(number for kind, number in asked.items() if kind != "control") == 1


def test_a_key_that_is_not_the_accounts_is_refused_and_not_shown(scene: Scene) -> None:
    """The SDK's error holds the whole file; ours says where credentials come from."""
    key = Key()
    path = scene.tokens.file(scene.folder / "wrong.json", key=key)
    store = scene.open(credentials_file=path)
    with pytest.raises(AuthError, match="no usable credentials for gs://") as refused:
        scene.artifacts.of(b"content").put(store, NAME)
    said = "".join(traceback.format_exception(refused.value))
    assert "--credentials-file" in said
    assert key.private.splitlines()[1] not in said
    assert len(scene.tokens.refused) == 1


def test_a_server_of_tokens_that_is_down_is_waited_for(scene: Scene) -> None:
    """As any fault on the way; the key may be good."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    account = {**scene.tokens.account(), "token_uri": f"https://127.0.0.1:{port}/token"}
    path = scene.folder / "down.json"
    path.write_text(json.dumps(account))
    with pytest.raises(TransientError, match="authorisation of gs://"):
        scene.open(credentials_file=path).head(NAME)


def test_a_server_of_tokens_with_a_strange_certificate_is_not_asked(scene: Scene) -> None:
    """Nothing is shown to it; the option to trust it is named."""
    assert scene.service.ca_bundle
    store = scene.open(ca_bundle=scene.service.ca_bundle)
    for ask in (lambda: store.head(NAME), lambda: names_in(store)):
        with pytest.raises(AuthError, match="--ca-bundle"):
            ask()
    assert scene.tokens.asked == []


def test_a_service_with_a_strange_certificate_gets_no_token(scene: Scene) -> None:
    """Whoever it is, it could use it."""
    only_tokens = scene.folder / "tokens.pem"
    trusted = (scene.folder / "trusted.pem").read_bytes()
    assert scene.service.ca_bundle
    only_tokens.write_bytes(trusted.replace(scene.service.ca_bundle.read_bytes(), b""))
    scene.service.control(clear_counts=True)
    store = scene.open(ca_bundle=only_tokens)
    for ask in (lambda: store.head(NAME), lambda: names_in(store)):
        with pytest.raises(AuthError, match="--ca-bundle"):
            ask()
    assert set(scene.service.control()["requests"]) <= {"control"}


FILES: dict[str, str | None] = {
    "missing": None,
    "empty": "",
    "no JSON": "-----BEGIN PRIVATE KEY-----",
    "a list": "[]",
    "no type": "{}",
    "unknown type": '{"type": "password", "password": "secret-word"}',
    "no key": '{"type": "service_account", "client_email": "a@b", "token_uri": "https://x"}',
    "bad key": json.dumps(
        {
            "type": "service_account",
            "client_email": "a@b",
            "token_uri": "https://x",
            "private_key": "-----BEGIN PRIVATE KEY-----\nsecret-word\n-----END PRIVATE KEY-----",
        }
    ),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("named_by", ["option", "environment"])
def test_a_file_that_is_none_of_an_account_is_named(
    scene: Scene, content: str | None, named_by: str
) -> None:
    """With where to get one; nothing that is in it is repeated."""
    path = scene.folder / "given.json"
    if content is not None:
        path.write_text(content)
    scene.patch.setenv(VARIABLE, str(path))
    how: dict[str, Any] = {"credentials_file": path}
    if named_by == "environment":
        how = {VARIABLE: "yes"}
    with pytest.raises(AuthError) as refused:
        scene.open(**how)
    said = "".join(traceback.format_exception(refused.value))
    assert "--credentials-file" in str(refused.value)
    assert "secret-word" not in said
    if named_by == "option":
        assert str(path) in str(refused.value)


def test_without_any_credentials_it_is_said_where_they_can_come_from(scene: Scene) -> None:
    """And waited for: uploads are not dead for it."""
    with pytest.raises(AuthError, match="gcloud auth application-default login"):
        scene.open(**{VARIABLE: "none"})


# -- to act as another --------------------------------------------------------------------------


def test_one_account_acts_as_another(scene: Scene) -> None:
    """The SDK asks Google's own address for that; here a proxy leads it to the test's server."""
    store = scene.open(impersonate_service_account=ANOTHER)
    use_all(scene, store)
    assert f"{IAM}:443" in scene.tunnel.asked
    assert scene.tokens.refused == []
    paths = [one.path for one in scene.tokens.asked]
    assert paths[0] == "/token"
    assert f"/v1/projects/-/serviceAccounts/{ANOTHER}:generateAccessToken" in paths


def test_the_token_of_another_account_is_renewed_too(scene: Scene) -> None:
    """It and the one that it is asked for with."""
    scene.let_tokens_end_soon()
    store = scene.open(impersonate_service_account=ANOTHER)
    for name in ("one", "two"):
        scene.artifacts.of(b"content").put(store, name)
    assert names_in(store) == ["one", "two"]
    assert len(scene.tokens.given) >= 6


def test_a_file_can_say_that_one_acts_as_another(scene: Scene) -> None:
    """As `gcloud` writes it; its key is the account's own."""
    path = scene.folder / "impersonated.json"
    said = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": (
            f"https://{IAM}/v1/projects/-/serviceAccounts/{ANOTHER}:generateAccessToken"
        ),
        "source_credentials": scene.tokens.account(),
        "delegates": [],
    }
    path.write_text(json.dumps(said))
    scene.artifacts.of(b"content").put(scene.open(credentials_file=path), NAME)
    assert scene.tokens.asked[-1].path.endswith(f"{ANOTHER}:generateAccessToken")


def test_who_may_not_act_as_another_is_told_so(scene: Scene) -> None:
    """The account lacks a role, or there is no such account."""
    store = scene.open(impersonate_service_account=f"nobody-{ANOTHER}")
    with pytest.raises(AuthError, match="no usable credentials"):
        scene.artifacts.of(b"content").put(store, NAME)


# -- where no token goes ------------------------------------------------------------------------


@pytest.mark.parametrize("said_by", ["option", "environment"])
def test_what_is_not_encrypted_gets_no_token(
    scene: Scene, strict_gcs: StrictGcs, said_by: str
) -> None:
    """An emulator: nobody is asked for one, though there are credentials."""
    scene.patch.setenv(VARIABLE, str(scene.file()))
    with FaultProxy(strict_gcs.endpoint) as proxy:
        how: dict[str, Any] = {"endpoint": proxy.endpoint}
        if said_by == "environment":
            scene.patch.setenv("STORAGE_EMULATOR_HOST", proxy.endpoint)
            how = {"endpoint": None}
        scene.bucket = strict_gcs.make_bucket()
        use_all(scene, scene.open(**how, **{VARIABLE: "yes"}))
        assert proxy.requests
        assert not any("authorization" in one.headers for one in proxy.requests)
    assert scene.tokens.asked == []


@pytest.mark.parametrize("way", ["straight", "by-proxy"])
def test_a_session_that_leads_elsewhere_gets_no_token(scene: Scene, way: str) -> None:
    """Its URI authorises itself; whoever answered with it could take the token."""
    if way == "by-proxy":
        scene.by_proxy(scene.service.endpoint)
        scene.by_proxy(scene.tokens.endpoint)
    store = scene.open()
    artifact, parts = scene.artifacts.for_parts(store)
    real = Session.of(artifact.begin(store, NAME))
    assert scene.tokens.given
    with scripted() as elsewhere:
        path = real.uri.removeprefix(scene.service.endpoint)
        session = str(replace(real, uri=f"{elsewhere.endpoint}{path}"))
        elsewhere.says = [Said(308, headers={"Range": "bytes=0-1048575"}), Said(308), Said(499)]
        artifact.send(store, NAME, session, parts[0])
        assert store.sent_parts(NAME, session, []) == []
        artifact.abort(store, NAME, session)
        store.close()
    assert [one.method for one in elsewhere.asked] == ["PUT", "PUT", "DELETE"]
    assert not any("authorization" in one.headers for one in elsewhere.asked)
