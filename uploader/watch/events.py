"""Be told by the kernel where something happened: watchdog's inotify, as a hint and no more.

- What is told is looked at; what is not told is found by the next scan. So nothing depends on
  events being complete, in order, or about the right path.
- Only what can make a file complete is asked for: each write of a file that is being written would
  be told otherwise.
- watchdog says in its log when the kernel dropped events; that asks for a scan.
- Its threads touch nothing of the spool: they put paths into a queue.
"""

from __future__ import annotations

import logging
import os
from queue import Empty, SimpleQueue
from typing import Final

from watchdog import events
from watchdog.observers.inotify import InotifyObserver

EVERYTHING: Final = None  #: in place of a path: look at everything
NOTHING: Final = ""  #: in place of a path: only wake up

#: what can make a file complete, or bring one
ASKED_FOR: list[type[events.FileSystemEvent]] = [
    events.FileClosedEvent,
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
]

_log = logging.getLogger(__name__)


class Events:
    """What happened in one directory, and what else should wake who waits for it."""

    def __init__(self) -> None:
        """Be told nothing yet."""
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._observer: InotifyObserver | None = None
        self._lost = _Lost(self._queue)

    @property
    def flow(self) -> bool:
        """Whether events are told."""
        observer = self._observer
        return (
            observer is not None
            and bool(observer.emitters)
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    def wake(self) -> None:
        """Wake who waits; may be called by a signal's handler."""
        self._queue.put(NOTHING)

    def begin(self, root: str) -> None:
        """Be told what happens below a directory from now on, instead of what was told before.

        Where that cannot be, the log says why; scans find everything, only later.
        """
        self.end()
        try:
            observer = InotifyObserver()
            self._observer = observer
            observer.schedule(
                _Handler(self._queue),
                root,
                recursive=True,
                event_filter=ASKED_FOR,
            )
            observer.start()
        except OSError as error:
            self.end()
            _log.warning(
                "the kernel does not tell what happens in %s (%s), so it is looked through again "
                "and again; if that is a limit, raise fs.inotify.max_user_watches and "
                "max_user_instances (sysctl)",
                root,
                error,
            )
            return
        logging.getLogger("watchdog").addHandler(self._lost)

    def wait(self, seconds: float) -> set[str | None]:
        """Return where something happened, absolute paths or `EVERYTHING`; none after a while."""
        told: set[str | None] = set()
        try:
            told.add(self._queue.get(timeout=max(0.0, seconds)))
            while True:
                told.add(self._queue.get_nowait())
        except Empty:
            return told - {NOTHING}

    def end(self) -> None:
        """Be told no more."""
        observer, self._observer = self._observer, None
        logging.getLogger("watchdog").removeHandler(self._lost)
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join()


class _Handler(events.FileSystemEventHandler):
    """What watchdog's thread calls."""

    def __init__(self, queue: SimpleQueue[str | None]) -> None:
        self._queue = queue

    def dispatch(self, event: events.FileSystemEvent) -> None:
        self._queue.put(os.fsdecode(event.dest_path or event.src_path))


class _Lost(logging.Handler):
    """Asks for a scan when watchdog warns: events were lost, or cannot be told any more."""

    def __init__(self, queue: SimpleQueue[str | None]) -> None:
        super().__init__(logging.WARNING)
        self._queue = queue

    def emit(self, record: logging.LogRecord) -> None:
        _log.info("events were lost (%s): looking at everything", record.getMessage())
        self._queue.put(EVERYTHING)
