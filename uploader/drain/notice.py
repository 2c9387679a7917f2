"""Hear that this machine is to be taken away, and bring the deadline forward.

- The asking is done by a child process (`notice_source.py`): a metadata service may be slow or
  silent, a file's disk may hang, and a supervisor neither waits nor has threads. It is exec'd, ends
  with the supervisor, and is started again if it ends by itself.
- What it writes to its pipe is read, without waiting, in each turn of the supervisor's loop.
- A notice stays: it is not taken back, and of two the earlier one counts. One whose time is long
  past, on a machine that still runs, is left over from another life and said so once.
- A source that does not answer is said once; uploads go on.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from uploader.drain.observer import Load
    from uploader.drain.terms import Deadline

PROGRAM = str(Path(__file__).with_name("notice_source.py"))
CHUNK = 64 << 10  #: bytes read of the pipe at a time: all that it holds
KINDS = ("aws", "gcp", "file")
AWS_ADDRESS = "http://169.254.169.254"
AWS_ADDRESS_6 = "http://[fd00:ec2::254]"
GCP_ADDRESS = "169.254.169.254"  #: as its SDK's: no name has to be looked up

AWS_NOTICE = 120.0  #: seconds between notice and end, where it does not say when
SHORT_NOTICE = 30.0  #: seconds; Compute Engine's, and of a file that says nothing
LEAVE_BEFORE = 3.0  #: seconds before the end to be done by: time to say what remains
STALE = 120.0  #: seconds after its end at which a notice is no longer believed
EPOCH = 1e9  #: a plain number from here on is a time, as `date +%s` writes it, and no duration
EPOCH_END = 1e11  #: beyond it dates overflow
KILLED = 1.0  #: seconds that a killed process may take to be gone
RESTART = 1.0  #: seconds before a watcher that ended is started again,
RESTART_MOST = 60.0  #: and twice as long each time, up to this

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Who gives notice."""

    kind: str  #: one of `KINDS`
    address: str  #: the metadata service's URL; the file's path

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Source:
        """Return what `aws`, `gcp` or `file:PATH` names.

        The addresses of the services can be changed by the variables that their SDKs read.

        Raises:
            ValueError: it is none of them.
        """
        variables = os.environ if environment is None else environment
        kind, colon, path = text.partition(":")
        if kind == "file" and path:
            return cls(kind, os.path.abspath(path))
        if colon or kind not in KINDS[:2]:
            raise ValueError(f"{text!r} gives no notice; write aws, gcp or file:PATH")
        if kind == "aws":
            six = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
            default = AWS_ADDRESS_6 if six else AWS_ADDRESS
            return cls(kind, variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or default)
        return cls(kind, f"http://{variables.get('GCE_METADATA_HOST') or GCP_ADDRESS}")

    def __str__(self) -> str:
        """Return it as it is named on the command line."""
        return f"file:{self.address}" if self.kind == "file" else self.kind


@dataclass(frozen=True)
class Notice:
    """That the machine goes, and when."""

    what: str  #: what is known, for a person
    at: float  #: seconds since the epoch


def read_notice(source: Source, said: str, since: float) -> Notice:
    """Return what a source's words mean.

    Args:
        source: who said it.
        said: its words.
        since: when they were first heard, or the file was written, in seconds since the epoch.
    """
    if source.kind == "aws":
        return _of_aws(said, since)
    if source.kind == "gcp":
        return Notice("Compute Engine preempts this machine", since + SHORT_NOTICE)
    return _of_file(source.address, said.strip(), since)


class NoticeWatch(Observer):
    """Brings a deadline forward when the machine is to be taken away; a context manager."""

    def __init__(self, source: Source, deadline: Deadline) -> None:
        """Prepare; nobody is asked yet."""
        self._source, self._deadline = source, deadline
        self._child: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._told: Notice | None = None
        self._start_at = 0.0
        self._pause = RESTART

    def __enter__(self) -> NoticeWatch:  # noqa: PYI034  Self is newer than Python 3.10
        """Begin to ask."""
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ask no more."""
        self._end()

    def tick(self, load: Load | None = None) -> None:
        """Take what was heard."""
        del load
        if self._child is None:
            if clock.monotonic() >= self._start_at:
                self._start()
            return
        assert self._child.stdout is not None  # noqa: S101  it is a pipe
        heard = None
        with suppress(BlockingIOError):
            heard = os.read(self._child.stdout.fileno(), CHUNK)
        if heard == b"":
            self._lost()
        elif heard:
            *lines, self._unread = (self._unread + heard).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))  # each is whole: one write of less than a page

    def _hear(self, news: dict[str, object]) -> None:
        self._pause = RESTART  # it works
        if "silent" in news:
            _log.warning(
                "no preemption notice can be had from %s: %s. Uploads go on; should there be a "
                "notice, nobody here hears of it%s", self._source, news["silent"], self._advice(),
            )  # fmt: skip
        elif "said" in news:
            self._take(read_notice(self._source, str(news["said"]), float(str(news["since"]))))
        else:
            _log.info("preemption notices: %s answers, there is none", self._source)

    def _take(self, notice: Notice) -> None:
        if self._told == notice:  # from a watcher that was started again
            return
        self._told = notice
        left = notice.at - clock.now()
        if left < -STALE:
            _log.warning(
                "preemption notice: %s, at %s, which is long past: it is taken for a left-over%s",
                notice.what, _time_text(notice.at), self._removal(),
            )  # fmt: skip
            return
        _log.warning(
            "preemption notice: %s at %s, in %.0f s. Until then what is nearly finished and what "
            "is newest goes first; what does not arrive is kept in the spool",
            notice.what, _time_text(notice.at), max(0.0, left),
        )  # fmt: skip
        self._deadline.bring_forward(clock.monotonic() + left - LEAVE_BEFORE)

    def _advice(self) -> str:
        if self._source.kind == "aws":
            return " (in a container, IMDSv2 needs a hop limit of 2)"
        return ""

    def _removal(self) -> str:
        return f"; remove {self._source.address}" if self._source.kind == "file" else ""

    def _start(self) -> None:
        # -I -S: none of the environment, none of the site's packages; a tenth of the start-up
        program = [sys.executable, "-I", "-S", PROGRAM]
        try:
            self._child = subprocess.Popen(
                [*program, self._source.kind, self._source.address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
            )
        except OSError as error:  # no memory, no processes left: later, perhaps
            _log.warning("preemption notices cannot be watched for now: %s", error)
            self._wait()
            return
        assert self._child.stdout is not None  # noqa: S101  it is a pipe
        os.set_blocking(self._child.stdout.fileno(), False)

    def _lost(self) -> None:
        self._end()
        _log.warning("the process that watches for preemption notices ended; another one is begun")
        self._wait()

    def _wait(self) -> None:
        self._start_at = clock.monotonic() + self._pause
        self._pause = min(2 * self._pause, RESTART_MOST)

    def _end(self) -> None:
        if self._child is None:
            return
        child, self._child, self._unread = self._child, None, b""
        child.kill()
        with suppress(subprocess.TimeoutExpired):  # it looks at a disk that hangs: init's, then
            child.wait(KILLED)
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()


def _of_aws(said: str, since: float) -> Notice:
    """Read `{"action": "terminate", "time": "2017-09-18T08:22:00Z"}`."""
    try:
        told = json.loads(said)
        what = f"EC2 is to {told['action']!s:.40} this instance"
        return Notice(what, _instant(str(told["time"])))
    except (ValueError, TypeError, KeyError, OverflowError):
        return Notice(f"EC2 takes this instance ({said!r:.200})", since + AWS_NOTICE)


def _of_file(path: str, said: str, since: float) -> Notice:
    what = f"{path} says that this machine goes"
    if not said:
        return Notice(what, since + SHORT_NOTICE)
    with suppress(ValueError, OverflowError):
        return Notice(what, _instant(said))
    with suppress(ValueError):
        return Notice(what, since + clock.parse_duration(said))
    return Notice(f"{what} (when, is not understood: {said!r:.80})", since + SHORT_NOTICE)


def _instant(text: str) -> float:
    """Return seconds since the epoch, from them or from ISO 8601; without a zone in UTC."""
    with suppress(ValueError):
        if EPOCH <= (number := float(text)) < EPOCH_END:
            return number
    instant = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    at = (instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)).timestamp()
    if not 0 <= at < EPOCH_END:  # its zone may lead out of all years that can be shown
        raise ValueError(f"no time at which a machine goes: {text!r:.80}")
    return at


def _time_text(at: float) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%H:%M:%S} UTC"
