"""Search all that faulty runs leave and say for the secrets that they were given."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pathlib
import select
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from tests.cli.bucket_shell import arguments_of_family, files_with
from tests.cli.shell import Shell
from tests.servers.leash import nobody_listens
from tests.servers.scripted import Asked, Said, Scripted
from tests.servers.token_issuer import issuing
from uploader import Spool, start_agent
from uploader.spool.ownership import agent_owner

ACCESS = "AKIAEXAMPLEEXAMPLE12"
SECRETS = {
    "AWS secret key": "wJalrSECRETKEYwJalrSECRETKEYwJalrSECRET1",
    "AWS session token": "FwoGZXIvSESSIONTOKEN" * 4,
    "customer key": base64.b64encode(b"CUSTOMER-KEY-OF-JUST-32-BYTES-42").decode(),
    "customer key, raw": "CUSTOMER-KEY-OF-JUST-32-BYTES-42",
    "proxy password": "PROXYPASSWORDx7",
    "endpoint password": "ENDPOINTPASSWORDx8",
}
URL = "s3://bucket/prefix"
LARGE = 3 << 20  #: bytes; in parts of 1 MiB


class Moody(Scripted):
    """A service that fails in every way it can, in turns, and tells what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self._turn = itertools.count()
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Said:
        """Fail, or begin a session of GCS."""
        if "resumable" in asked.query.values():
            uri = f"{self.endpoint}/upload?upload_id=SESSIONSECRETx9"
            return Said(200, b"", {"location": uri})
        with self._lock:
            turn = next(self._turn) % 8
        url = f"{self.endpoint}{asked.path}?" + "&".join(f"{k}={v}" for k, v in asked.query.items())
        xml = f"<Error><Code>InternalError</Code><Message>at {url}</Message></Error>".encode()
        return [
            Said(500, xml),
            Said.document({"error": {"message": f"at {url}", "errors": [{"reason": "x"}]}}, 503),
            Said(200, b"<html>proxy</html>"),
            Said(408, b"x" * 100, missing=50),
            Said(307, b"", {"location": "http://127.0.0.1:9/elsewhere"}),
            Said(401, xml.replace(b"InternalError", b"ExpiredToken")),
            Said(503, xml.replace(b"InternalError", b"SlowDown")),
            Said(200, b"{", {"etag": '"x"'}),
        ][turn]


@contextmanager
def moody(tls: ssl.SSLContext | None = None) -> Iterator[Moody]:
    """Run one."""
    server = Moody(tls)
    try:
        yield server
    finally:
        server.end()


class S3(Shell):
    """A spool for a bucket whose endpoint and proxy have passwords in their URLs."""

    def know(self, endpoint: str, proxy: str) -> None:
        """Put everything that is secret into the environment."""
        for name in [name for name in self.environment if name.startswith("AWS_")]:
            del self.environment[name]
        self.environment |= {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRETS["AWS secret key"],
            "AWS_SESSION_TOKEN": SECRETS["AWS session token"],
            "AWS_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": _with_password(endpoint, "user", SECRETS["endpoint password"]),
            "HTTP_PROXY": _with_password(proxy, "proxy", SECRETS["proxy password"]),
            "http_proxy": _with_password(proxy, "proxy", SECRETS["proxy password"]),
            "UPLOADER_SSE_CUSTOMER_KEY": SECRETS["customer key"],
            "NO_PROXY": "",
            "no_proxy": "",
        }


def _with_password(url: str, user: str, password: str) -> str:
    return url.replace("://", f"://{user}:{password}@")


def put(shell: Shell, name: str, content: bytes) -> None:
    """Spool a file, in this process, which knows of no destination."""
    with Spool(shell.spool_path, producer=False) as spool:
        spool.put_file(name, shell.file(content))


def said_by(shell: Shell, *wordy: str, timeout: int = 2) -> str:
    """Return all that is said of a spool, and by a drain that says everything."""
    said = []
    for words in (f"drain -vv --timeout {timeout}s", *wordy):
        command, *rest = words.split()
        ended = shell.run(command, *rest)
        assert "internal error" not in ended.stderr, ended.stderr
        said += [ended.stdout, ended.stderr]
    with Spool(shell.spool_path, producer=False) as spool:
        told: list[object] = [spool.status().as_json(), *(one.as_json() for one in spool.uploads())]
        told += [repr(spool.uploads()), repr(spool.place)]
    return "\n".join([*said, json.dumps(told)])


def hold_tight(shell: Shell, said: str, secrets: dict[str, str]) -> None:
    """Search for each secret in what was said, and in every file of the spool."""
    for what, secret in secrets.items():
        assert secret not in said, f"{what} was said"
        assert files_with(shell.spool_path, secret) == [], f"{what} is in the spool"


def test_no_secret_of_s3_is_told_by_a_service_that_fails_in_every_way(
    tmp_path: pathlib.Path,
) -> None:
    """Keys, tokens, a customer's key, passwords in URLs: in no line, error, file or JSON."""
    shell = S3(tmp_path)
    with moody() as service:
        shell.know("http://s3.invalid", service.endpoint)
        init = shell.run("init", "--destination", URL, "--part-size", "1MiB", "--sse", "customer")
        assert init.returncode == 0, init.stderr
        put(shell, "small", b"content")
        put(shell, "large", b"x" * LARGE)
        said = said_by(shell, f"check {URL} -vv", "verify -v")
        assert service.asked, "nothing went to the service"
    hold_tight(shell, said + init.stdout + init.stderr, SECRETS)


def test_no_secret_is_told_where_nobody_answers(tmp_path: pathlib.Path) -> None:
    """An endpoint, and a proxy, that refuse connections are named without their passwords."""
    shell = S3(tmp_path)
    with nobody_listens() as nowhere:
        for endpoint, proxy in ((nowhere, ""), ("http://s3.invalid", nowhere)):
            shell.know(endpoint, proxy)
            shell.run("init", "--destination", URL)
            put(shell, f"one/{bool(proxy)}", b"content")
            said = said_by(shell, f"check {URL} -vv", timeout=1)
            assert "127.0.0.1" in said, said
            hold_tight(shell, said, SECRETS)


def test_no_secret_is_in_an_agents_log_or_the_arguments_of_its_processes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log has no other reader than the owner, and nothing to hide."""
    shell = S3(tmp_path)
    with moody() as service:
        shell.know("http://s3.invalid", service.endpoint)
        shell.run("init", "--destination", URL)
        put(shell, "one", b"content")
        for name, value in shell.environment.items():
            monkeypatch.setenv(name, value)
        assert start_agent(shell.spool_path, workers=1)
        shell.wait_until(lambda: agent_owner(shell.spool_path))
        owner = agent_owner(shell.spool_path)
        assert owner is not None
        log = shell.spool_path / "agent.log"
        shell.wait_until(lambda: len(service.asked) > 3 and log.stat().st_size)
        arguments = arguments_of_family(owner.pid)
        agent = os.pidfd_open(owner.pid)
        os.kill(owner.pid, 15)
        # Its lock is free before it has closed the database, whose files it removes.
        assert select.select([agent], [], [], 30)[0], "the agent has not ended"
        os.close(agent)
    assert log.stat().st_mode & 0o777 == 0o600
    hold_tight(shell, "\n".join(arguments) + log.read_text(), SECRETS)


def test_no_secret_of_google_is_told_by_a_service_that_fails_in_every_way(
    tmp_path: pathlib.Path,
) -> None:
    """The account's key and its token are nowhere; a session's URI is in the database alone."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    shell = Shell(tmp_path)
    shell.remote = tmp_path / "unused"
    with issuing("ya29.TOKENOFGOOGLEx1") as issuer, moody(context) as service:
        account = shell.file(issuer.account(), "account.json")
        key = json.loads(issuer.account())["private_key"].splitlines()[5]
        init = shell.run(
            "init", "--destination", "gs://bucket/prefix", "--endpoint", service.endpoint,
            "--credentials-file", account, "--ca-bundle", tmp_path / "ca.pem",
            "--part-size", "1MiB",
        )  # fmt: skip
        assert init.returncode == 0, init.stderr
        put(shell, "small", b"content")
        put(shell, "large", b"x" * LARGE)
        said = said_by(
            shell,
            "verify -v",
            "check gs://bucket/prefix -vv --endpoint "
            f"{service.endpoint} --credentials-file {account} --ca-bundle {tmp_path}/ca.pem",
        )
        assert issuer.given, "nobody logged in"
    secrets = {"key": key, "token": "TOKENOFGOOGLEx1"}
    hold_tight(shell, said, secrets)
    assert "SESSIONSECRETx9" not in said
    named = {
        path.name for path in map(pathlib.Path, files_with(shell.spool_path, "SESSIONSECRETx9"))
    }
    assert named <= {"spool.db", "spool.db-wal"}
