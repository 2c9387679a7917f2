"""Write metrics into a file for node_exporter's textfile collector, and leave it there at the end.

- A temporary file in the same directory, which node_exporter does not read, then a rename: a reader
  sees all of it or what was there before. No fsync: after a power cut the next agent writes anew.
- Mode 0644 whatever the umask: node_exporter is another user. Nothing in it is secret.
- A directory takes the files of many spools, one each. A file that is named, and that another live
  process writes, is left to it: the two would take turns, and counters would jump.
- A full disk, or a directory that is not there, costs the metrics and no upload.

The format: https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from uploader import clock
from uploader.drain.observer import Load, Observer
from uploader.spool.ownership import process_start

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 5.0  #: seconds between writes; node_exporter is scraped every 15 to 60 s
MODE = 0o644
HEAD = "# written by uploader "  #: a comment, to whoever reads the format
HEAD_SIZE = 8192  #: bytes; a path has 4096 at most, some of which JSON writes with more

_log = logging.getLogger(__name__)


class MetricsFile(Observer):
    """One file, written anew every few seconds."""

    def __init__(self, path: str, spool: str, tell: Callable[[], bytes]) -> None:
        """Prepare; the first turn of the loop writes it.

        Args:
            path: of the file, or of a directory for a file named after the spool.
            spool: the path of the spool.
            tell: returns what to write.
        """
        is_directory = path.endswith("/") or os.path.isdir(path)
        self.path = os.path.join(path, name_of(spool)) if is_directory else path
        self._spool, self._tell = spool, tell
        self._write_at = 0.0
        self._trouble: str | None = None  #: that was last reported

    def tick(self, load: Load | None = None) -> None:
        """Write, if it is time to."""
        del load
        if clock.monotonic() >= self._write_at:
            self._write_at = clock.monotonic() + EVERY
            self.write()

    def write(self) -> None:
        """Write it now. Never raises: what goes wrong is logged, once."""
        trouble = self._other_writer()
        if trouble is None:
            try:
                self._replace(self._head() + self._tell())
            except Exception as error:  # noqa: BLE001  no metrics may stop an upload
                trouble = f"{_reason(error)}. Uploads go on, and it is tried again"
        if trouble and trouble != self._trouble:
            _log.warning("metrics are not written to %s: %s", self.path, trouble)
        elif self._trouble and not trouble:
            _log.info("metrics are written to %s again", self.path)
        self._trouble = trouble

    def _replace(self, content: bytes) -> None:
        directory, name = os.path.split(self.path)
        temporary = os.path.join(directory, f".{name}.tmp")
        with suppress(FileNotFoundError):  # of a process that was killed; or planted: not followed
            os.unlink(temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, MODE), "wb") as file:
                os.fchmod(file.fileno(), MODE)
                file.write(content)
            os.rename(temporary, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _head(self) -> bytes:
        who = {"spool": self._spool, "pid": os.getpid(), "started": process_start(os.getpid())}
        return f"{HEAD}{json.dumps(who)}\n".encode()

    def _other_writer(self) -> str | None:
        """Say which live process writes this file, if it is not this one."""
        try:
            who = json.loads(_first_line(self.path).removeprefix(HEAD))
            pid, started = int(who["pid"]), int(who["started"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None  # there is none, or it is no file of ours
        if pid == os.getpid() or pid <= 0 or process_start(pid) != started:
            return None
        return (
            f"process {pid} writes it, for spool {who.get('spool')}. Name a directory "
            "(--metrics-file DIR): each spool has a file of its own there"
        )


def name_of(spool: str) -> str:
    """Return the name of a spool's file: the last part of its path for people, a hash of it all."""
    part = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(spool))[:64]
    whole = hashlib.sha256(os.fsencode(spool)).hexdigest()[:8]
    return f"uploader-{part}-{whole}.prom"


def _first_line(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, HEAD_SIZE).decode(errors="replace").partition("\n")[0]
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
