"""Watch a directory: find what is new, wait until it is complete, spool it.

- What is known is in the spool alone, written with the upload in one transaction (`intake`): this
  process can be killed at any moment, and the next one goes on.
- A scan is the truth: at the start, every so often, and when events were lost. Events only say
  where to look sooner.
- What is found and not known is a candidate. A candidate is looked at when it may be complete by
  the rules (`completeness`), through one descriptor: what is judged is what is copied.
- Only this thread touches the spool.
"""

from __future__ import annotations

import errno
import heapq
import logging
import os
import stat
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from uploader import clock
from uploader.errors import SpoolFullError
from uploader.watch.completeness import QUIET, Rules, Writers, unchanged_for
from uploader.watch.events import EVERYTHING
from uploader.watch.intake import Outcome
from uploader.watch.tree import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from uploader.watch.events import Events
    from uploader.watch.intake import Intake
    from uploader.watch.tree import Tree

RESCAN = 30.0  #: seconds between scans where events are told
RESCAN_BLIND = 2.0  #: seconds between scans where they are not
FOLLOW_EVERY = 1.0  #: seconds between looks whether the directory is still the same one
RENEW_EVERY = 3600.0  #: seconds after which the kernel is asked anew to tell what happens
SCAN_SHARE = 10  #: times as long as a scan took, until the next one: a tenth of a core at most
FORGET_EVERY = 3600.0  #: seconds between looks for files that are gone
TEND_EVERY = 10.0  #: seconds between looks whether an agent is needed, after one was started too
TEND_SOON = 1.0  #: seconds between them while files are spooled
ROOM_PAUSE = 0.5  #: seconds between tries while the spool is full
REMIND = 60.0  #: seconds between log lines about that
BATCH = 500  #: files asked about at a time
RETRY = 5.0  #: seconds until what failed is tried again
SLICE = 1.0  #: seconds of taking files, until all else has its turn: an agent, what was told
RESTLESS = 10  #: changes after which `once` takes a file for one that is being written

#: what opening a file answers that is not there any more, or behind a symlink that took its place
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)

_log = logging.getLogger(__name__)


@dataclass
class Candidate:
    """A file that is not known as it is."""

    facts: Facts
    since: float  #: monotonic seconds from which on it is known to be as it is
    due: float  #: monotonic seconds at which to look again
    changes: int = 0  #: times that it was found to be another than before
    looked_at: bool = False  #: through a descriptor
    is_busy: bool = False  #: it was being written when it was last looked at
    has_failed: bool = False  #: it could not be read, or copied, when that was last tried


@dataclass
class Findings:
    """What a watch came to."""

    spooled: int = 0
    refused: dict[str, Facts] = field(default_factory=dict)  #: not spooled as they are
    unfinished: list[str] = field(default_factory=list)  #: being written to at the end
    full: str | None = None  #: why not everything was taken at the end


class Watcher:
    """One directory, watched by this process."""

    def __init__(
        self,
        tree: Tree,
        intake: Intake,
        events: Events,
        *,
        rules: Rules,
        rescan: float | None = None,
        tend: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare; nothing is looked at yet.

        Args:
            tree: what is watched.
            intake: what takes files.
            events: what tells where to look.
            rules: when a file is complete.
            rescan: seconds between scans; None: by what the file system tells.
            tend: called now and then, to see that an agent runs; tells whether it started one.
        """
        self.tree, self._intake, self._events = tree, intake, events
        self._rules, self._rescan, self._tend = rules, rescan, tend
        self._writers = Writers()
        self._candidates: dict[str, Candidate] = {}
        self._queue: list[tuple[float, int, str]] = []  #: due, mtime, path: a heap
        self._watched: tuple[int, int] | None = None  #: the directory that events are told of
        self._missing = self._told = False
        self._renew_at = 0.0  #: monotonic seconds
        self._next_follow = self._next_scan = self._next_tend = self._next_forget = 0.0
        self._may_tend = 0.0  #: monotonic seconds until which no agent is started
        self._reminded = 0.0  #: monotonic seconds until which it is not said again that it is full
        self._room_at = 0.0  #: monotonic seconds until which the spool is taken to be full
        self._leaving = False
        self.findings = Findings()

    def leave(self) -> None:
        """Have `run` end soon, after a last scan; may be called by a signal's handler."""
        self._leaving = True
        self._events.wake()

    def run(self) -> Findings:
        """Watch until told to leave; then spool what is complete, and return."""
        try:
            while not self._leaving:
                self._keep_up()
                now = clock.monotonic()
                told = self._events.wait(self._next_moment() - now)
                self._look_where_told(told)
        finally:
            self._events.end()
        return self.once(wait_for_room=False)

    def once(self, *, wait_for_room: bool) -> Findings:
        """Spool what is there and complete now, and return.

        What may be complete is waited for, as long as the rules say; what is being written is not.
        Where room is waited for, an agent is seen to: without one nobody ever makes any.
        """
        self._has_room()
        self.findings.unfinished.clear()
        for path, candidate in self._candidates.items():
            self._schedule(path, candidate, clock.monotonic())
            candidate.changes, candidate.is_busy, candidate.has_failed = 0, False, False
        self._scan()
        while not self._stuck(wait_for_room=wait_for_room):
            if self._room_at:
                self._see_to_agent(clock.monotonic())
            self._events.wait(min(self._next_due() - clock.monotonic(), RESCAN_BLIND))
            self._look_at_due()
        self._forget()
        for path, one in self._candidates.items():
            if one.is_busy:
                self.findings.unfinished.append(path)
            elif one.has_failed:
                self.findings.refused[path] = one.facts
        return self.findings

    # -- moments ----------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """Do all whose time has come."""
        now = clock.monotonic()
        if now >= self._next_follow and self._follow():
            self._next_scan = now
        if now >= self._next_scan:
            self._scan()
        if now >= self._next_forget:
            self._next_forget = now + FORGET_EVERY
            self._forget()
        self._look_at_due()
        self._see_to_agent(now)

    def _see_to_agent(self, now: float) -> None:
        if now >= self._next_tend:
            self._next_tend = now + TEND_EVERY
            self._may_tend = now + (TEND_EVERY if self._tend() else TEND_SOON)

    def _next_moment(self) -> float:
        times = (self._next_follow, self._next_scan, self._next_tend, self._next_forget)
        return min(*times, self._next_due())

    def _next_due(self) -> float:
        due = self._queue[0][0] if self._queue else float("inf")
        return max(due, self._room_at)

    def _stuck(self, *, wait_for_room: bool) -> bool:
        """Tell whether nothing is left that will be complete, or be taken, by itself."""
        if self._room_at and not wait_for_room:
            return True
        return all(one.is_busy or one.has_failed for one in self._candidates.values())

    # -- finding ----------------------------------------------------------------------------------

    def _follow(self) -> bool:
        """Be told of the directory that is there now; tell whether that was begun just now.

        It is begun anew now and then: of a directory that was moved elsewhere the kernel goes on to
        tell, so that they would add up; and where there was a limit, there may be room by now.
        """
        now = clock.monotonic()
        self._next_follow = now + FOLLOW_EVERY
        before, identity = self._watched, self.tree.identity()
        if identity is None and not self._missing:
            _log.warning("waiting for it to be there: %s", self.tree.root)
        self._watched, self._missing = identity, identity is None
        if identity is None:
            self._events.end()
        elif identity != before or (self._told and not self._events.flow) or now >= self._renew_at:
            self._events.begin(self.tree.root)
            self._told, self._renew_at = self._events.flow, now + RENEW_EVERY
            return True
        return False

    def _scan(self) -> None:
        """Look at everything."""
        began = clock.monotonic()
        refused, still_there = self.findings.refused, set()
        found = self.tree.files()
        while batch := dict(islice(found, BATCH)):
            still_there |= batch.keys() & refused.keys()
            self._consider(batch, began)
        self.findings.refused = {path: refused[path] for path in still_there}
        took = clock.monotonic() - began
        self._next_scan = clock.monotonic() + max(self._interval(), SCAN_SHARE * took)

    def _interval(self) -> float:
        if self._missing:
            return RESCAN_BLIND
        if self._rescan is not None:
            return self._rescan
        local = self._watched and self._writers.is_local(self._watched[0], self.tree.root)
        return RESCAN if local and self._events.flow else RESCAN_BLIND

    def _look_where_told(self, told: Iterable[str | None]) -> None:
        if EVERYTHING in told:
            self._next_scan = 0.0
            return
        now = clock.monotonic()
        found: dict[str, Facts] = {}
        for whole in told:
            path = self.tree.relative(whole) if whole else None
            if path:
                found.update(self.tree.look(path))
        # A moment later: what was just closed is often given its times then.
        self._consider(found, now, due=now + QUIET)

    def _consider(self, found: dict[str, Facts], now: float, due: float | None = None) -> None:
        """Make candidates of the files that are not known as they are."""
        known = self._intake.known(list(found))
        for path, facts in found.items():
            if path in known and known[path].mark == facts.mark:
                self._candidates.pop(path, None)
            elif self.findings.refused.get(path) != facts:
                self._add(path, facts, now, now if due is None else due)

    def _add(self, path: str, facts: Facts, now: float, due: float) -> None:
        candidate = self._candidates.get(path)
        if candidate is None:
            candidate = self._candidates[path] = Candidate(facts, now, due)
        elif candidate.facts != facts:
            candidate.facts, candidate.since = facts, now
        self._schedule(path, candidate, due)

    def _schedule(self, path: str, candidate: Candidate, due: float) -> None:
        candidate.due = due
        heapq.heappush(self._queue, (due, candidate.facts.mtime_ns, path))

    # -- taking -----------------------------------------------------------------------------------

    def _look_at_due(self) -> None:
        """Look at the candidates whose time has come, for a while; of those, the oldest first."""
        now = clock.monotonic()
        until = now + SLICE
        while self._queue and self._queue[0][0] <= now and now >= self._room_at:
            due, _, path = heapq.heappop(self._queue)
            candidate = self._candidates.get(path)
            if candidate is not None and candidate.due == due:
                self._look_at(path, candidate)
                if clock.monotonic() >= until:
                    return

    def _look_at(self, path: str, candidate: Candidate) -> None:
        try:
            descriptor = self.tree.open(path)
        except OSError as error:
            if error.errno in GONE:
                self._has_room()
                del self._candidates[path]
                _log.info("gone before it was spooled: %s", self.tree.shown(path))
            else:
                self._failed(path, candidate, error)
            return
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                self._judge(path, candidate, descriptor, found)
            else:
                del self._candidates[path]
        except SpoolFullError as error:
            self._wait_for_room(path, candidate, error)
        except OSError as error:
            self._failed(path, candidate, error)
        finally:
            os.close(descriptor)

    def _failed(self, path: str, candidate: Candidate, error: OSError) -> None:
        self._has_room()
        if not candidate.has_failed:
            how = error.strerror or error
            _log.error("not spooled yet, and tried again: %s: %s", self.tree.shown(path), how)
        candidate.has_failed, candidate.is_busy = True, False
        self._schedule(path, candidate, clock.monotonic() + RETRY)

    def _judge(
        self, path: str, candidate: Candidate, descriptor: int, found: os.stat_result
    ) -> None:
        now, facts = clock.monotonic(), Facts.of(found)
        changed = facts != candidate.facts
        if changed:
            candidate.facts, candidate.since = facts, now
            candidate.changes += 1
        has_writer = None
        if self._writers.is_local(found.st_dev, os.path.join(self.tree.root, path)):
            if not candidate.looked_at:  # later the clock may have been set: half a file looks old
                candidate.since = min(candidate.since, now - unchanged_for(facts))
            has_writer = self._writers.has_any(descriptor)
        candidate.looked_at, still_for = True, now - candidate.since
        is_written = changed if has_writer is None else has_writer
        candidate.is_busy = is_written or candidate.changes > RESTLESS
        wait = self._rules.wait(facts.size, has_writer=has_writer, still_for=still_for)
        if wait:
            # It may be closed at any moment, and of that we may not be told.
            self._schedule(path, candidate, now + min(wait, max(QUIET, self._rules.still)))
        else:
            self._take(path, candidate, descriptor)

    def _take(self, path: str, candidate: Candidate, descriptor: int) -> None:
        now = clock.monotonic()
        outcome = self._intake.take(path, descriptor, candidate.facts)
        self._has_room()
        candidate.has_failed = False
        if outcome is Outcome.CHANGING:
            candidate.since, candidate.changes = now, candidate.changes + 1
            # one whose size is never what can be read of it is not copied ten times a second
            candidate.is_busy = candidate.changes > RESTLESS
            self._schedule(path, candidate, now + (RETRY if candidate.is_busy else QUIET))
            return
        del self._candidates[path]
        if outcome is Outcome.SPOOLED:
            self._next_tend = self._may_tend
            self.findings.spooled += 1
            self.findings.refused.pop(path, None)
        elif outcome is Outcome.REFUSED:
            self.findings.refused[path] = candidate.facts

    def _has_room(self) -> None:
        """Forget that the spool is full: it is not, or what it had no room for is gone."""
        self._room_at, self.findings.full = 0.0, None

    def _wait_for_room(self, path: str, candidate: Candidate, error: SpoolFullError) -> None:
        now = clock.monotonic()
        self.findings.full = str(error)
        self._room_at = now + ROOM_PAUSE
        self._schedule(path, candidate, self._room_at)
        if now >= self._reminded:
            self._reminded = now + REMIND
            _log.warning("waiting for room in the spool: %s", error)

    # -- what is gone -----------------------------------------------------------------------------

    def _forget(self) -> None:
        """Forget files that are gone; where the disk has no room even for that, another time."""
        try:
            forgotten = self._intake.spool.watched.forget(os.fsencode(self.tree.root), clock.now())
        except SpoolFullError as error:
            _log.debug("files that are gone are not forgotten now: %s", error)
            return
        if forgotten:
            _log.debug("%d files are gone, and forgotten", forgotten)
