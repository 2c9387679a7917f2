"""Lets credentials expire, fail and be missing: uploads wait for better ones, and lose nothing."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.crash.bucket_scene import BucketScene, is_own, wait_until
from tests.crash.logins import GcsLogin, Login, S3Login
from tests.servers.certificates import Certificates
from tests.servers.faults import Answer, Fault, Refuse
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Kind, Refusal, Request
from tests.servers.s3_server import S3Server
from tests.servers.services import GcsService, S3Service, Service
from tests.servers.strict_gcs.running import StrictGcs, strict_gcs_running
from tests.servers.token_issuer import issuing
from uploader import Spool, State
from uploader.checksum import crc32c
from uploader.store.s3.arguments import KEY_VARIABLE

PART = 5 << 20  #: bytes; the least that S3 takes
PARTS = 12
GOOD = 5  #: parts that arrive before the credentials go bad

TOKEN = "a token that is good"

EXPIRED = Refuse(Refusal.EXPIRED)
SKEWED = Answer(403, "RequestTimeTooSkewed")


class CredentialsScene(BucketScene):
    """A scene whose credentials are in a file, if anywhere."""

    def __init__(
        self, directory: Path, service: Service, proxy: FaultProxy, login: Login, **options: Any
    ) -> None:
        """Begin with good credentials."""
        super().__init__(directory, service, proxy, part_size=PART, **options)
        self.login = login

    def open(self, *, producer: bool = True, **options: Any) -> Spool:
        """Open the spool, with more options."""
        self._options |= options
        return super().open(producer=producer)

    def environment(self, *, crash: str = "", faults: str = "") -> dict[str, str]:
        """Return an environment that names the file alone."""
        return self.login.environment(super().environment(crash=crash, faults=faults))

    def status(self) -> str:
        """Return what `uploader status` shows."""
        return self.run("status", check=True).stdout

    def listed(self) -> list[dict[str, Any]]:
        """Return what `uploader ls --json` lists."""
        return [json.loads(line) for line in self.run("ls", "--json").stdout.splitlines()]


@pytest.fixture
def s3_scene(tmp_path: Path, seaweed: S3Server) -> Iterator[CredentialsScene]:
    """Return a scene of its own behind a proxy of its own."""
    login = S3Login(tmp_path / "credentials", seaweed)
    with FaultProxy(seaweed.endpoint) as proxy:
        yield CredentialsScene(tmp_path / "scene", S3Service(seaweed), proxy, login)


@pytest.fixture(scope="module")
def strict_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictGcs]:
    """Return a GCS that lets in who has its token, by TLS: without that none is sent."""
    folder = tmp_path_factory.mktemp("strict_tls")
    with strict_gcs_running(folder, token=TOKEN, tls=True) as process:
        yield process.server


@pytest.fixture
def gs_scene(tmp_path: Path, strict_tls: StrictGcs) -> Iterator[CredentialsScene]:
    """Return a scene of its own, behind a proxy that has the certificates of the service."""
    assert strict_tls.ca_bundle
    folder = strict_tls.ca_bundle.parent
    shown = Certificates(strict_tls.ca_bundle, folder / "key.pem", folder / "chain.pem")
    trusted = {"ca_bundle": str(strict_tls.ca_bundle)}
    with issuing(TOKEN) as issuer, FaultProxy(strict_tls.endpoint, shown) as proxy:
        login = GcsLogin(tmp_path / "credentials", issuer)
        yield CredentialsScene(tmp_path / "scene", GcsService(strict_tls), proxy, login, **trusted)


@pytest.fixture(params=["s3_scene", "gs_scene"])
def scene(request: pytest.FixtureRequest) -> CredentialsScene:
    """Return one for each kind of store."""
    scene = request.getfixturevalue(request.param)
    assert isinstance(scene, CredentialsScene)
    return scene


def expired_after(scene: CredentialsScene, parts: int) -> Callable[[Request], Fault | None]:
    """Refuse everything once so many parts came; the file then holds wrong credentials."""
    numbers: set[int] = set()

    def decide(request: Request) -> Fault | None:
        if request.kind == Kind.PART and is_own(request) and len(numbers) <= parts:
            numbers.add(request.number)
            if len(numbers) > parts:
                scene.login.spoil()
        return EXPIRED if len(numbers) > parts else None

    return decide


@pytest.mark.timeout(120)  # of which much is waited: a gate asks less often the longer it is shut
def test_an_upload_goes_on_from_its_last_part_when_credentials_are_renewed(
    scene: CredentialsScene,
) -> None:
    """They expire in the middle, are replaced by wrong ones, then by good ones; nobody restarts it.

    `status` says meanwhile what to do; no attempt is used up; no recorded part is sent again.
    """
    content = os.urandom(PART * PARTS)
    scene.proxy.decide = expired_after(scene, GOOD)
    with scene.open() as spool:
        maker = spool.put_file("large", scene.write("source", content), overwrite=False)
        process = scene.start("drain", "--max-attempts", "1")
        try:
            wait_until(lambda: "renew the credentials" in scene.status())
            wait_until(lambda: spool.upload(maker).state is State.READY)
            recorded = {part.number for part in spool.ledger.parts(spool.upload(maker).seq)}
            assert len(recorded) == GOOD
            (waiting,) = scene.listed()
            assert (waiting["error_class"], waiting["attempts"]) == ("auth", 0)

            scene.proxy.decide = lambda _: None
            wait_until(lambda: scene.login.wrong in scene.status())
            before = len(scene.proxy.requests)
            scene.login.renew()
            assert process.wait(timeout=60) == 0, scene.log.read_text()
        finally:
            process.kill()
            process.wait()
    requests, service = scene.proxy.requests[before:], scene.service
    sent = {service.number_of(one, PART) for one in requests if one.kind == Kind.PART}
    assert sorted(filter(None, sent)) == sorted(set(range(1, PARTS + 1)) - recorded)
    assert scene.owner("large") == maker
    assert crc32c(scene.read("large")) == crc32c(content)
    assert scene.unfinished() == []
    said = scene.log.read_text() + scene.status() + json.dumps(scene.listed())
    assert scene.login.secret not in said
    if scene.service.scheme == "gs":  # whoever knows a session may write to it
        assert all(one.session not in said for one in scene.requests(Kind.PART))
        files = [path for path in scene.spool.rglob("*") if path.is_file()]
        assert not any(TOKEN.encode() in path.read_bytes() for path in files)
        assert TOKEN not in said


def refused(scene: CredentialsScene) -> subprocess.CompletedProcess[str]:
    """Drain one small file that must not arrive, and is not to be lost."""
    with scene.open() as spool:
        upload_id = spool.put_file("name", scene.write("source", b"content"), overwrite=False)
        ended = scene.run("drain", "--max-attempts", "1")
        upload = spool.upload(upload_id)
    assert (upload.state, upload.attempts) == (State.READY, 0), ended.stderr
    return ended


def test_a_drain_without_any_credentials_says_what_to_set(scene: CredentialsScene) -> None:
    """Exit code 5, nothing dead; with them everything arrives."""
    scene.login.remove()
    ended = refused(scene)
    assert ended.returncode == 5
    assert "no usable credentials" in ended.stderr
    assert scene.login.missing in ended.stderr
    scene.login.renew()
    assert scene.run("drain").returncode == 0
    assert scene.read("name") == b"content"


def test_a_drain_that_is_refused_from_the_start_says_what_to_do(scene: CredentialsScene) -> None:
    """Exit code 5, nothing dead."""
    scene.proxy.decide = lambda _: EXPIRED
    ended = refused(scene)
    assert ended.returncode == 5
    assert "renew the credentials" in ended.stderr
    scene.proxy.decide = lambda _: None
    assert scene.run("drain").returncode == 0


# Signatures of S3 hold for a quarter of an hour, so a wrong clock is refused; GCS asks for no time.


def test_a_drain_on_a_machine_whose_clock_is_wrong_says_so(s3_scene: CredentialsScene) -> None:
    """Exit code 5, nothing dead."""
    s3_scene.proxy.decide = lambda _: SKEWED
    ended = refused(s3_scene)
    assert ended.returncode == 5
    assert "set this machine's clock" in ended.stderr
    s3_scene.proxy.decide = lambda _: None
    assert s3_scene.run("drain").returncode == 0


@pytest.mark.parametrize("operation", [Kind.HEAD, Kind.PUT])
def test_a_clock_that_goes_wrong_meanwhile_uses_up_no_attempt(
    s3_scene: CredentialsScene, operation: Kind
) -> None:
    """Not even the only one; the upload waits, says why, and arrives when the clock was set."""
    skewed = [2]  # requests that are still refused

    def decide(request: Request) -> Fault | None:
        concerned = request.kind in (operation, Kind.READ) and is_own(request)
        if not concerned or not skewed[0]:
            return None
        skewed[0] -= 1
        return SKEWED

    with s3_scene.open() as spool:
        upload_id = spool.put_file("name", s3_scene.write("source", b"content"), overwrite=False)
        s3_scene.proxy.decide = decide
        ended = s3_scene.run("drain", "--max-attempts", "1")
        assert ended.returncode == 0, ended.stderr
        assert spool.upload(upload_id).attempts == 1  # the one that went well
    assert skewed == [0]
    assert "set this machine's clock" in ended.stderr
    assert "(auth)" in ended.stderr


def test_a_customers_key_is_written_down_nowhere(
    s3_scene: CredentialsScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the spool, not in what is said; without it a drain is refused, and loses nothing."""
    key = os.urandom(32)
    with s3_scene.open(sse="customer") as spool:
        upload_id = spool.put_file("name", s3_scene.write("source", b"content"), overwrite=False)
        missing = s3_scene.run("drain")
        assert missing.returncode == 5, missing.stderr
        assert f"set {KEY_VARIABLE} to the base64 of 32 bytes" in missing.stderr
        assert spool.upload(upload_id).state is State.READY
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(key).decode())
    drained = s3_scene.run("drain", "-v", "-v")
    assert drained.returncode == 0, drained.stderr
    with pytest.raises(ClientError):
        s3_scene.read("name")
    written = b"".join(path.read_bytes() for path in s3_scene.spool.rglob("*") if path.is_file())
    written += (drained.stdout + drained.stderr).encode()
    for form in (key, base64.b64encode(key), key.hex().encode()):
        assert form not in written
