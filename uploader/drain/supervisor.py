"""Run one spool's uploads: take what may start, hand out steps, record the answers.

One loop in one thread; the workers are processes. The loop's memory holds only what is in flight.
Everything else is in the ledger, so that a kill at any instant costs the steps in flight and
nothing more, and a backlog of a million rows costs no memory.

- Answers that came together are recorded in one transaction; only after its commit are blobs
  unlinked, and new steps handed out on the strength of it.
- The caller holds the supervisor's lock, and so do the workers (see `spool/ownership.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from uploader import clock
from uploader.crashpoint import reached
from uploader.drain import schedule, steps
from uploader.drain.active import ActiveUpload, goes_to_all
from uploader.drain.candidates import Candidates
from uploader.drain.gate import Gate
from uploader.drain.node_report import NodeReport
from uploader.drain.observer import Load, Observer
from uploader.drain.pool import WorkerPool
from uploader.drain.recorder import Recorder
from uploader.drain.schedule import Room
from uploader.drain.shutdown import GRACE
from uploader.drain.steps import PutReport, Tidy
from uploader.drain.terms import Ending
from uploader.drain.tidying import Tidying
from uploader.drain.traffic import Traffic
from uploader.drain.upkeep import Upkeep
from uploader.drain.waves import Wave, waves_before
from uploader.drain.winding_up import WindingUp
from uploader.errors import ErrorClass
from uploader.policy import RetryPolicy
from uploader.spool.recovery import recover, sweep
from uploader.store.opening import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from uploader.drain.shutdown import StopRequest
    from uploader.drain.steps import Answer, Step
    from uploader.drain.terms import Settings
    from uploader.model import Upload
    from uploader.spool.ownership import SupervisorLock
    from uploader.spool.spool import Spool

Work: TypeAlias = "tuple[ActiveUpload | None, Step]"  #: a step, and the upload that it is of

POLL = 0.05  #: seconds between looks at the database while there is work
IDLE_POLL = 0.4  #: seconds between looks when there has been none for a while
BRISK = 2.0  #: seconds without work after which there are fewer looks
LOOK_AGAIN = 0.5  #: seconds after which a retry that fell due is noticed
DEADLINE_GRACE = 2.0  #: seconds that steps in flight may take after a deadline


class Supervisor:
    """The one consumer of a spool's journal."""

    def __init__(
        self,
        spool: Spool,
        lock: SupervisorLock,
        settings: Settings,
        stop: StopRequest,
        *,
        may_leave: Callable[[float], bool] = lambda idle: False,  # noqa: ARG005
        observer: Observer | None = None,
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            spool: opened with `producer=False`.
            lock: held by this process.
            settings: how to run.
            stop: set by signals.
            may_leave: asked by an idle agent, with the seconds it has been idle.
            observer: told what is done.
        """
        self._spool, self._ledger = spool, spool.ledger
        self._settings, self._stop = settings, stop
        self._may_leave, self._observer = may_leave, observer or Observer()
        self._options = spool.options
        self._limits = limits_of(spool.place)
        self._pool: WorkerPool[list[Work]] = WorkerPool(
            settings.workers, spool.place, lock.descriptor
        )
        self._traffic = Traffic(settings.workers, self._options.max_bandwidth)
        self._winding_up = WindingUp(settings, stop)
        self._gate = Gate(spool, patient=not settings.until_empty)
        self._deadline = settings.deadline
        policy = RetryPolicy(self._options.max_attempts)
        self._recorder = Recorder(spool, policy, self._observer, self._deadline)
        self._tidying = Tidying(spool.ledger)
        self._node_report = NodeReport(spool)
        self._active: dict[int, ActiveUpload] = {}
        self._open: dict[int, ActiveUpload] = {}  #: those of them that may have a step to hand out
        self._candidates = Candidates(spool.ledger, self._deadline)
        self._dealt: list[list[ActiveUpload]] = []  #: started, for a free worker each
        self._parts_turn = True
        self._look_at = 0.0  #: monotonic seconds at which to look for candidates
        self._busy_at = clock.monotonic()  #: when there was last something in flight
        self._upkeep = Upkeep(spool, lock)
        self._is_spent = False  #: nothing was in flight after a turn of handing out
        self._is_leaving = False

    def run(self) -> Ending:
        """Work until there is a reason to leave; return it."""
        reached("supervisor.locked")
        if self._ledger.live():
            self._pool.warm_up()
        recover(self._spool.layout, self._ledger)
        reached("supervisor.recovered")
        try:
            while (ending := self._ending()) is None:
                self._upkeep.tick(self._pool, self._busy_at)
                self._hand_out()
                self._is_spent = not self._pool.busy
                self._recorder.remove_unneeded()
                self._collect(self._poll())
                self._observer.tick(self._load)
            self._leave(ending)
        finally:
            self._pool.stop()
        sweep(self._spool.layout, self._ledger)
        return ending

    @property
    def refusal(self) -> str | None:
        """Why the destination refused, in its own words."""
        return self._gate.refused

    # -- the turn of the loop -------------------------------------------------------------------

    def _ending(self) -> Ending | None:
        if self._stop.requested:
            retries = self._gate.open and self._candidates.retry_in_time
            if self._winding_up.is_over(is_spent=self._is_spent, has_retries=retries):
                return Ending.INTERRUPTED
        if self._gate.refused:
            return Ending.REFUSED
        if self._deadline.passed:
            return Ending.DEADLINE if self._ledger.live() else Ending.EMPTY
        if self._is_working():
            self._busy_at = clock.monotonic()
        elif self._settings.until_empty:
            return None if self._ledger.live() or self._is_untidy() else Ending.EMPTY
        elif not self._owes_report and self._may_leave(self._idle):
            return Ending.IDLE
        return None

    def _is_working(self) -> bool:
        return bool(self._active or self._pool.busy or not self._tidying.finished)

    def _is_untidy(self) -> bool:
        self._tidying.look()
        return self._owes_report or not self._tidying.finished

    @property
    def _owes_report(self) -> bool:
        return self._gate.open and not self._node_report.finished

    @property
    def _idle(self) -> float:
        return clock.monotonic() - self._busy_at

    def _hand_out(self) -> None:
        """Give every free worker the step that matters most."""
        self._notice_changes()
        if not self._gate.open:
            wanted = self._candidates or not self._tidying.finished
            if wanted and not self._winding_up.last_call and (step := self._gate.next_step()):
                self._pool.submit([(None, step)], step)
            return
        self._hand_dealt()
        self._hand_report()
        for wave in self._waves() if self._free else []:
            self._hand_wave(wave)
        if not self._winding_up.last_call:
            self._hand_tidying()

    def _hand_wave(self, wave: Wave) -> None:
        for active in [one for one in wave.active if not one.has_part_ready]:
            self._hand_from(active, 1)
        if not self._deadline.is_set:
            self._hand_tidying()
        turn, waits = self._parts_turn, bool(wave.candidates)
        places = schedule.part_places(self._room, small_waits=waits, parts_turn=turn)
        self._hand_parts(wave, places)
        self._start_new(wave)
        self._hand_dealt()
        self._hand_parts(wave, self._free)

    def _hand_tidying(self) -> None:
        while self._free and (tidy := self._tidying.next_step()):
            self._pool.submit([(None, tidy)], tidy)

    def _hand_report(self, *, last: bool = False) -> None:
        """Have this node's report put if it is time for one: before what waits for a worker."""
        ends, left = self._settings.until_empty or self._idle > BRISK, self._deadline.left
        if self._free and (step := self._node_report.next_step(ends=ends, last=last, left=left)):
            self._pool.submit([(None, step)], step)

    def _collect(self, timeout: float) -> None:
        """Record the answers that have come, all in one transaction."""
        answers = self._pool.answers(timeout)
        if not answers:
            return
        reached("supervisor.step-answered")
        beside = self._pool.busy + len(answers)
        with self._recorder.together():
            for works, answer in answers:
                self._take_all(works, steps.answers_in(answer, len(works)), beside)
            self._start_beside()
        self._look_at = 0.0
        self._upkeep.report(self._traffic.meter, self._gate)

    def _take_all(self, works: list[Work], answers: list[Answer], beside: int) -> None:
        """Take what one worker answered, of `beside` that were at work."""
        failures = {one.failure.error_class: one.failure for one in answers if one.failure}
        if ErrorClass.THROTTLED in failures:
            self._traffic.throttle.complained()
        for (active, step), answer in zip(works, answers, strict=True):
            if answer.failure and answer.failure.trace:
                self._recorder.unforeseen(active, step, answer.failure)
            if active is not None:
                self._take(active, step, answer, beside)
            elif isinstance(step, Tidy):
                self._tidying.answered(step, answer)
            elif isinstance(step, PutReport):
                self._node_report.answered(answer)
            else:
                self._gate.answered(answer)
                if answer.value is not None:  # found out just now: nothing else is under way yet
                    self._pool.use(self._spool.place)
                    self._limits = limits_of(self._spool.place)
        if ErrorClass.AUTH in failures and self._gate.open:
            self._gate.shut(failures[ErrorClass.AUTH].error)
            self._pool.renew()

    def _take(self, active: ActiveUpload, step: Step, answer: Answer, beside: int) -> None:
        active.answered(step, answer)
        if answer.untried:
            self._open[active.upload.seq] = active
            return
        self._observer.step_ended(step, answer)
        if answer.failure is None:
            self._traffic.passed(active, step, answer, beside)
        self._recorder.answer(active, step, answer)
        if active.settled:
            self._recorder.settle(active)
            self._forget(active)
            self._candidates.released(active.upload)
        else:
            self._open[active.upload.seq] = active

    def _leave(self, ending: Ending) -> None:
        """Let steps in flight finish for a while, then put back what is not done."""
        self._is_leaving = True
        left = min(self._deadline.left, GRACE)
        grace = {Ending.INTERRUPTED: left, Ending.DEADLINE: DEADLINE_GRACE}
        until = clock.monotonic() + grace.get(ending, 0.0)
        while clock.monotonic() < until and not self._stop.urgent:
            if self._gate.open:
                self._hand_report(last=True)  # as soon as there is a worker for it
            if not self._pool.begun:
                break
            self._collect(min(POLL, until - clock.monotonic()))
            self._observer.tick(self._load)
        self._pool.stop()
        self._recorder.remove_unneeded()
        with self._ledger.together():
            for seq in self._active:
                self._ledger.put_back(seq)
        self._active.clear()

    # -- choosing -------------------------------------------------------------------------------

    def _notice_changes(self) -> None:
        """Look into the ledger if somebody wrote to it, something ended, or a retry may be due."""
        now = clock.monotonic()
        changed = self._spool.changed()
        if changed and self._active:
            for seq in self._ledger.cancel_requests():
                if seq in self._active:
                    self._active[seq].cancelling = True
        self._settle_idle_cancellations()
        if not changed and now < self._look_at:
            return
        self._tidying.look()
        if self._candidates.look(anew=self._winding_up.last_call is not None):
            self._look_at = now + LOOK_AGAIN

    def _waves(self) -> list[Wave]:
        """Return what to hand out, in which order."""
        if not self._deadline.is_set:
            oldest_first = sorted(self._open.values(), key=lambda one: one.upload.seq)
            return [Wave(oldest_first, list(self._candidates))]
        outlook, cut = self._traffic.outlook(self._deadline), (self._limits, self._options)
        last_call = self._winding_up.last_call
        return waves_before(outlook, self._active.values(), self._candidates, cut, last_call)

    def _settle_idle_cancellations(self) -> None:
        """End what was cancelled while none of its steps was in flight."""
        for active in [one for one in self._active.values() if one.cancelling and one.settled]:
            with self._recorder.together():
                self._recorder.settle(active)
            self._forget(active)

    def _forget(self, active: ActiveUpload) -> None:
        del self._active[active.upload.seq]
        self._open.pop(active.upload.seq, None)

    def _start_beside(self) -> None:
        """Start what goes next in the commit of what arrived, unless something goes before it.

        The free workers then wait for one commit instead of two.
        """
        held = self._is_leaving or self._candidates.stale or self._open
        if self._gate.open and self._tidying.finished and not held:
            self._candidates.look()
            self._start_new(self._waves()[0])

    def _start_new(self, wave: Wave) -> None:
        """Start as many candidates as there are free workers, in one transaction."""
        if not self._free or not wave.candidates:
            return
        throttle = self._traffic.throttle
        under_way = wave.active if self._deadline.is_set else self._active.values()
        hands = schedule.deal(
            [one for one in wave.candidates if not self._tidying.concerns(one.seq)],
            self._free,
            sum(active.goes_to_all for active in under_way),
            lambda upload: goes_to_all(upload, self._limits, self._options),
            at_once=1 if throttle.lowered else schedule.small_at_once(self._deadline.left),
        )
        if not hands:
            self._candidates.passed_over()
            return
        chosen = [upload for hand in hands for upload in hand]
        self._candidates.started(chosen)
        for upload, item in self._ledger.start_all(chosen):
            active = self._activated(upload, item)
            self._active[upload.seq] = self._open[upload.seq] = active
            wave.active.append(active)
        self._dealt = [
            [self._active[one.seq] for one in hand if one.seq in self._active] for hand in hands
        ]
        self._parts_turn = True

    def _hand_dealt(self) -> None:
        """Hand out what was started; its start is committed."""
        if self._dealt:
            reached("supervisor.started-upload")
        for hand in self._dealt:
            self._submit(hand)
        self._dealt = []

    def _activated(self, upload: Upload, item: dict[str, object]) -> ActiveUpload:
        blob = self._spool.layout.blob_path(upload.id)
        sent = self._ledger.parts(upload.seq) if upload.session else []
        active = ActiveUpload(upload, item, blob, self._limits, self._options, sent)
        active.cancelling = upload.cancel_requested  # just before a crash or a failure
        return active

    def _hand_parts(self, wave: Wave, places: int) -> None:
        for active in [one for one in wave.active if one.has_part_ready]:
            handed = self._hand_from(active, places)
            places -= handed
            if handed:
                self._parts_turn = False

    def _hand_from(self, active: ActiveUpload, count: int) -> int:
        """Hand out up to `count` steps of one upload, while workers are free. Return how many."""
        handed = 0
        while handed < count and self._free and self._submit([active]):
            handed += 1
        return handed

    def _submit(self, uploads: list[ActiveUpload]) -> bool:
        """Give the next step of each upload to one free worker. Return whether there was any."""
        works: list[Work] = [(one, step) for one in uploads if (step := one.next_step())]
        if works:
            given = tuple(step for _, step in works)
            self._pool.submit(works, given[0] if len(given) == 1 else self._batch(given))
            reached("supervisor.step-handed-out")
        for one in uploads:
            if not one.has_part_ready:
                self._open.pop(one.upload.seq, None)
        return bool(works)

    def _batch(self, given: tuple[Step, ...]) -> steps.Batch:
        return steps.Batch(given, self._recorder.unneeded(schedule.REMOVED_AT_ONCE))

    @property
    def _free(self) -> int:
        """How many more steps, or batches, may be in flight."""
        return max(0, min(self._traffic.throttle.limit, self._pool.size) - self._pool.busy)

    @property
    def _load(self) -> Load:
        return Load(self._pool.busy, self._traffic.throttle.limit, self._pool.size)

    @property
    def _room(self) -> Room:
        limit = min(self._traffic.throttle.limit, self._pool.size)
        parts = sum(one.in_flight for one in self._open.values() if one.has_part_ready)
        return Room(self._free, limit, parts)

    def _poll(self) -> float:
        return POLL if self._idle < BRISK else IDLE_POLL
