"""Plays the demo: trains, kills in mid-upload, starts again, drains, verifies.

- A kill waits until the trainer is far enough and some parts of a checkpoint are across, but not
  all, and strikes at once.
- Trainer and agent die together as on a preempted node, agent and workers alone as after a crash.
- A kill that came when the upload had just ended is told as such, not counted as one in mid-upload.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from destination.demo.diary import Diary
from destination.demo.processes import (
    POLL_INTERVAL,
    STRIKE_INTERVAL,
    DemoError,
    Trainer,
    command,
    kill_agent,
    wait_until,
)
from uploader import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination.demo.workspace import Workspace
    from uploader.model import InFlight

#: bytes
MIB = 2**20
#: bytes in a part: small, so that a checkpoint of 28 MiB has several, and a kill falls between them
PART_SIZE = 2 * MIB
#: epochs of training, over all sessions
EPOCHS = 10
#: seconds after which the demo gives up; it takes under a minute on two free cores
LIMIT = 240
#: after which logged epoch a kill comes, and whether the trainer dies with the agent. The agent
#: alone is last: the trainer looks after it every ten seconds, and `drain` comes in any case.
KILLS = ((2, True), (5, True), (7, False))


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: when (seconds since the epoch), of whom, and which uploads it cut off."""

    time: float
    trainer_too: bool
    cut: tuple[InFlight, ...]

    @property
    def whom(self) -> str:
        """The processes that were killed, in words."""
        return "trainer and agent" if self.trainer_too else "agent"

    @property
    def what(self) -> str:
        """The uploads that it cut off, and how far they had come, in words."""
        cut = [
            f"{one.name.rpartition('/')[2]} at {one.sent / MIB:.0f} of {one.size / MIB:.0f} MiB"
            for one in self.cut
        ]
        return " and ".join(cut) or "nothing"


@dataclass
class Scenario:
    """One play.

    Args:
        workspace: its places; the folder must be new.
        say: told each thing that happens, as it happens.
    """

    workspace: Workspace
    say: Callable[[str], None]
    epochs: int = EPOCHS
    kills: list[Kill] = field(default_factory=list)
    started: float = field(default_factory=time.time)

    def play(self) -> None:
        """Play it to the end.

        Raises:
            DemoError: something did not come as it should, in time.
        """
        self.deadline = time.monotonic() + LIMIT
        self.workspace.output.mkdir(parents=True)
        self.diary = Diary(self.workspace.diary)
        options = {"part_size": PART_SIZE}
        spool = Spool(self.workspace.spool, self.workspace.url, options=options, producer=False)
        with spool as self.spool:
            try:
                self.train()
                self.run("drain", "--timeout", "60s")
                self.run("verify", "--deep")
            finally:
                kill_agent(self.workspace.spool)  # else it would wait for more for a while

    def train(self) -> None:
        """Train through all the kills."""
        trainer = self.start(session=1)
        try:
            for after_epoch, trainer_too in KILLS:
                self.kill(trainer, after_epoch, trainer_too=trainer_too)
                if trainer_too:
                    trainer = self.start(trainer.session + 1)
            trainer.wait(self.deadline)
        finally:
            trainer.kill()
        *_, last = self.diary.read("epoch")
        self.say(
            f"training is over: {last['epoch']} epochs, {last['accuracy']:.1%} of test digits right"
        )

    def start(self, session: int) -> Trainer:
        """Start a session of the trainer, and wait until it knows where it goes on."""
        trainer = Trainer.start(self.workspace, session, self.epochs)
        self.wait(trainer, lambda: len(list(self.diary.read("started"))) == session, "its start")
        *_, start = self.diary.read("started")
        done = start["epoch"]
        goes_on = (
            f"fetched ckpt/latest, goes on after epoch {done}" if done else "starts from nothing"
        )
        self.say(f"trainer {session} {goes_on}")
        return trainer

    def kill(self, trainer: Trainer, after_epoch: int, *, trainer_too: bool) -> None:
        """Strike as soon as `after_epoch` is logged and an upload is under way."""
        logged = f"the checkpoint of epoch {after_epoch}"
        self.wait(trainer, lambda: self.epoch() >= after_epoch, logged)
        self.wait(trainer, lambda: bool(self.under_way()), "an upload", STRIKE_INTERVAL)
        found = kill_agent(self.workspace.spool)
        if trainer_too:
            trainer.kill()
        # What was under way when its process died is so still: only a new agent could tell.
        kill = Kill(time.time(), trainer_too, tuple(self.under_way()) if found else ())
        self.kills.append(kill)
        self.say(f"SIGKILL to {kill.whom}, cutting off {kill.what}")

    def under_way(self) -> list[InFlight]:
        """Return the checkpoints of which a part has arrived, but not all."""
        return [one for one in self.spool.status().in_flight if 0 < one.sent < one.size]

    def epoch(self) -> int:
        """Return the last epoch whose checkpoint was logged."""
        epochs = [entry["epoch"] for entry in self.diary.read("epoch")]
        return epochs[-1] if epochs else 0

    def wait(
        self,
        trainer: Trainer,
        ready: Callable[[], bool],
        what: str,
        interval: float = POLL_INTERVAL,
    ) -> None:
        """Wait until `ready()`, as long as the trainer lives."""

        def ready_or_over() -> bool:
            return ready() or trainer.process.poll() is not None

        wait_until(ready_or_over, self.deadline, what, interval)
        if not ready():
            raise DemoError(f"the trainer ended before {what}: see {self.workspace.trainer_log}")

    def run(self, verb: str, *options: str) -> None:
        """Run `uploader VERB` on the spool, and tell its exit code.

        Raises:
            DemoError: the exit code is not 0.
        """
        arguments = [verb, "--spool", str(self.workspace.spool), *options]
        result = command(*arguments)
        self.say(f"uploader {verb} {' '.join(options)}: exit code {result.returncode}")
        if result.returncode != 0:
            raise DemoError(f"uploader {verb} failed: {result.stderr.strip()}")
