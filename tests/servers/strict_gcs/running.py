"""Start the strict server as a process, kill it and start it again, tell it how to behave."""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.certificates import make_certificates
from tests.servers.gcs_server import GcsServer
from tests.servers.leash import LeashedProcess, free_ports, start_again_if_taken

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where `tests` is found.
_ROOT = Path(__file__).parents[3]

#: Seconds that the control path may take.
_LIMIT = 10.0


class StrictGcs(GcsServer):
    """One that runs."""

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change settings (`Settings` of the server), `expire_sessions=True`, `clear_counts=True`.

        Returns what it tells: settings, counts `requests` and `bytes`, open `sessions`.
        """
        context = ssl.create_default_context(cafile=self.ca_bundle) if self.ca_bundle else None
        body = json.dumps(changes).encode() if changes else None
        request = urllib.request.Request(f"{self.endpoint}/_control", body)
        with urllib.request.urlopen(request, timeout=_LIMIT, context=context) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    @contextlib.contextmanager
    def behaving(self, **changes: Any) -> Iterator[None]:
        """Change settings, and set them back."""
        before = self.control()["settings"]
        self.control(**changes)
        try:
            yield
        finally:
            self.control(**before)

    def answers(self) -> bool:
        """Tell whether this server answers; what it refuses is a test's own choice."""
        with contextlib.suppress(OSError):
            self.control()
            return True
        return False


class StrictProcess:
    """The server's process on a folder, which outlives it; `server` is how a test reaches it.

    `token` and `user_project` are what it wants to see, and what `server.client()` shows.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        token: str | None = None,
        user_project: str | None = None,
        tls: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._options = list(options)
        self._options += ["--token", token] if token else []
        self._options += ["--user-project", user_project] if user_project else []
        self._caller = (token, user_project)
        self._certificates = make_certificates(folder) if tls else None
        self._process, self.server = start_again_if_taken(self._start)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def restart(self) -> None:
        """Start it again at the same endpoint, with the data that it had and its first settings."""
        port = int(self.server.endpoint.rpartition(":")[2])
        self._process, _ = self._start_at(port)

    def _start(self) -> tuple[LeashedProcess, StrictGcs]:
        (port,) = free_ports(1)
        return self._start_at(port)

    def _start_at(self, port: int) -> tuple[LeashedProcess, StrictGcs]:
        command = [sys.executable, "-m", "tests.servers.strict_gcs", "--port", str(port)]
        scheme, authority = "http", None
        if made := self._certificates:
            command += ["--certificate", str(made.chain), "--key", str(made.key)]
            scheme, authority = "https", made.authority
        server = StrictGcs(f"{scheme}://127.0.0.1:{port}", *self._caller, authority)
        process = LeashedProcess(
            [*command, *self._options, str(self._folder)],
            self._folder,
            {"PYTHONPATH": str(_ROOT)},
        )
        try:
            process.wait_until(server.answers)
        except BaseException:
            process.kill()
            raise
        return process, server


@contextlib.contextmanager
def strict_gcs_running(folder: Path, *options: str, **more: Any) -> Iterator[StrictProcess]:
    """Run one with its data in a folder, which is removed with it.

    Options are those that its `--help` tells; what else there is see `StrictProcess`.
    """
    process = StrictProcess(folder, *options, **more)
    try:
        yield process
    finally:
        process.kill()
        shutil.rmtree(folder)
