"""Ask whether this machine is about to be taken away, as a process of its own.

Run as a file, by the supervisor alone: it loads nothing but this and the standard library, and may
wait, block and have threads, which a supervisor may not. What it hears it writes to stdout, a JSON
object a line; what that means the supervisor decides (`notice.py`).

    {"said": text, "since": seconds since the epoch}  there is a notice, in the source's own words
    {"silent": reason}                                nobody answers, or not as the source does
    {"answers": true}                                 somebody does, and there is no notice

- Only what is new is written.
- It ends when its stdin does: the other end is the supervisor's, and ends with it, however it ends.

Arguments: `aws`, `gcp` or `file`, and the address of the metadata service, or the file's path.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import closing
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 5.0  #: seconds between questions to AWS: what it recommends
FILE_POLL = 0.5  #: seconds between looks for a file
GCP_RETRY = 1.0  #: seconds after a question that failed: of a notice of thirty
SILENT_POLL = 30.0  #: seconds between questions to somebody who has never answered
ANSWER = 2.0  #: seconds that the metadata service, which is a hop away, may take
CHANGE = 60  #: seconds after which GCP is to answer although nothing changed
TOKEN_LIFE = 21600  #: seconds that a token of AWS is good for: the longest there is
LONGEST = 64 << 10  #: bytes of an answer that are read

AWS_TOKEN = "/latest/api/token"  # noqa: S105  where one is had
AWS_NOTICE = "/latest/meta-data/spot/instance-action"
GCP_NOTICE = "/computeMetadata/v1/instance/preempted"


class SilentError(Exception):
    """Nobody answers as the source does; the text says how."""


class Aws:
    """The metadata service of EC2, by IMDSv2: a token first.

    Source: the EC2 User Guide, "Spot Instance interruption notices": 404 until there is one.
    """

    pause = retry = POLL

    def __init__(self, address: str) -> None:
        """Ask at `address`, a URL."""
        self._address = address
        self._token: str | None = None
        self._renew_at = 0.0

    def ask(self) -> str | None:
        """Return the notice, or None while there is none."""
        if self._token is None or time.monotonic() >= self._renew_at:
            self._renew()
        status, text, _ = request(
            self._address, "GET", AWS_NOTICE, {"X-aws-ec2-metadata-token": self._token or ""}
        )
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            self._token = None  # 401: it is not good any more
            raise SilentError(f"GET {AWS_NOTICE}: status {status}")
        return text

    def since(self) -> float:
        """Return when the notice came: just now."""
        return time.time()

    def _renew(self) -> None:
        life = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE)}
        status, token, _ = request(self._address, "PUT", AWS_TOKEN, life)
        if status != http.client.OK:
            raise SilentError(f"PUT {AWS_TOKEN}: status {status}")
        self._token = token.strip()
        self._renew_at = time.monotonic() + TOKEN_LIFE / 2


class Gcp:
    """The metadata server of Compute Engine; it answers when something changes.

    Source: Compute Engine's documentation, "Detect if a VM was preempted" and "Wait for updates".
    """

    retry = GCP_RETRY

    def __init__(self, address: str) -> None:
        """Ask at `address`, a URL."""
        self._address = address
        self._etag: str | None = None
        self.pause = 0.0

    def ask(self) -> str | None:
        """Return the notice; None after a while in which there was none."""
        flavor = {"Metadata-Flavor": "Google"}
        query = ""
        if self._etag:  # what was before this began is asked for once, without waiting
            query = f"?wait_for_change=true&timeout_sec={CHANGE}&last_etag={self._etag}"
        patience, asked = (CHANGE + ANSWER if query else ANSWER), time.monotonic()
        status, text, headers = request(
            self._address, "GET", GCP_NOTICE + query, flavor, patience=patience
        )
        if status != http.client.OK:
            raise SilentError(f"GET {GCP_NOTICE}: status {status}")
        if headers.get("Metadata-Flavor") != "Google":
            raise SilentError("what answers is not Google's metadata server")
        before, self._etag = self._etag, headers.get("ETag")
        at_once = self._etag == before and time.monotonic() - asked < GCP_RETRY
        # one that cannot wait, or does not, as a proxy in between, is asked now and then
        self.pause = POLL if at_once or not self._etag else 0.0
        return text if text.strip().upper() == "TRUE" else None

    def since(self) -> float:
        """Return when the notice came: just now."""
        return time.time()


class File:
    """A file that somebody makes: an epilog, a script of the cluster, a person."""

    pause = retry = FILE_POLL

    def __init__(self, path: str) -> None:
        """Look at `path`."""
        self._path = path
        self._was_empty = False

    def ask(self) -> str | None:
        """Return its text, once it is there; an empty one a look later: it may yet be written."""
        try:
            with open(self._path, "rb") as file:
                text = file.read(LONGEST).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SilentError(str(error)) from error
        hesitates = not text.strip() and not self._was_empty
        self._was_empty = not text.strip()
        return None if hesitates else text

    def since(self) -> float:
        """Return when it was written, in seconds since the epoch."""
        try:
            return os.stat(self._path).st_mtime
        except OSError:
            return time.time()


def request(
    address: str, method: str, path: str, headers: dict[str, str], patience: float = ANSWER
) -> tuple[int, str, http.client.HTTPMessage]:
    """Return status, text and headers of an answer; no proxy is asked, as the SDKs ask none."""
    try:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
        with closing(connection):
            connection.request(method, parts.path.rstrip("/") + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(LONGEST).decode("utf-8", "replace"), answer.headers
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SilentError(f"{address} does not answer ({error!s:.200})") from error


def watch(source: Aws | Gcp | File) -> NoReturn:
    """Ask again and again; write what is new."""
    told: dict[str, object] = {}
    answered = False
    while True:
        news = ask(source)
        silent = "silent" in news
        if news != told and not (silent and "silent" in told):
            told = news
            write({**news, "since": source.since()} if "said" in news else news)
        answered = answered or not silent
        pause = source.retry if silent else source.pause
        time.sleep(pause if answered else max(pause, SILENT_POLL))


def ask(source: Aws | Gcp | File) -> dict[str, object]:
    """Return what is to be written of one question."""
    try:
        said = source.ask()
    except SilentError as error:
        return {"silent": str(error)}
    return {"answers": True} if said is None else {"said": said}


def write(news: dict[str, object]) -> None:
    """Tell the supervisor."""
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def main(kind: str, address: str) -> None:
    """Watch until stdin ends."""
    # Ctrl-C, and SIGTERM to all of a container, are the supervisor's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kinds: dict[str, Callable[[str], Aws | Gcp | File]] = {"aws": Aws, "gcp": Gcp, "file": File}
    source = kinds[kind](address)
    threading.Thread(target=_watch_or_end, args=(source,), daemon=True).start()
    while os.read(0, 1):
        pass
    os._exit(0)


def _watch_or_end(source: Aws | Gcp | File) -> None:
    try:
        watch(source)
    except BaseException:  # noqa: BLE001  another one is started
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
