"""Trains the network as a user would: logs checkpoints, `ckpt/latest` and metrics, and resumes.

Run as `python -m destination.demo.train WORKSPACE SESSION EPOCHS`. It knows nothing of being
killed: it starts from `ckpt/latest` when there is one, and trains until `EPOCHS` are complete.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from destination import Callback, Event, FileLogger, Logger, LogLevel
from destination.demo.diary import Diary, WitnessedLogger
from destination.demo.network import Digits, Network
from destination.demo.workspace import LATEST, METRICS, RUN_NAME, Workspace

#: batches between two flushes of the metrics, so that a kill costs at most these lines
FLUSH_INTERVAL = 11


@dataclass
class Timestamp:
    """How far training is."""

    epoch: int
    batch: int


@dataclass
class TrainingState:
    """What the loggers read of the training: its name, and how far it is."""

    network: Network
    run_name: str = RUN_NAME

    @property
    def timestamp(self) -> Timestamp:
        """Epochs and batches that are complete, over all sessions."""
        return Timestamp(self.network.epoch, self.network.batch)


class Training:
    """One session of the training run.

    Args:
        workspace: the demo's places.
        session: 1 for the first start, 2 for the start after the first kill, and so on.
    """

    def __init__(self, workspace: Workspace, session: int) -> None:
        self.workspace = workspace
        self.session = session
        self.diary = Diary(workspace.diary)
        self.digits = Digits()
        self.state = TrainingState(Network.fresh())
        self.store = WitnessedLogger(
            self.diary,
            workspace.url,
            spool=workspace.spool,
            object_name="{run_name}/{artifact_name}",
        )
        metrics = FileLogger(
            str(workspace.output / METRICS),
            METRICS,
            format="jsonl",
            capture_stdout=False,
            capture_stderr=False,
            log_level=LogLevel.BATCH,
            flush_interval=FLUSH_INTERVAL,
            append=True,
        )
        self.callbacks: list[Callback] = [metrics, self.store]
        self.logger = Logger(self.state, [metrics, self.store])

    def run(self, epochs: int) -> None:
        """Train until `epochs` are complete."""
        self.tell(Event.INIT)
        self.resume()
        self.tell(Event.FIT_START)
        while self.state.network.epoch < epochs:
            self.train_epoch()
        self.tell(Event.FIT_END)
        for callback in self.callbacks:
            callback.close(self.state, self.logger)
        for callback in self.callbacks:
            callback.post_close()

    def resume(self) -> None:
        """Go on from what `ckpt/latest` points to; from nothing when there is no such artifact."""
        newest = self.workspace.output / "resumed.npz"
        try:
            self.store.get_file_artifact(LATEST, str(newest), progress_bar=False, overwrite=True)
        except FileNotFoundError:
            pass
        else:
            self.state.network = Network.load(newest)
        epoch = self.state.network.epoch
        self.diary.write("started", session=self.session, epoch=epoch, time=time.time())

    def train_epoch(self) -> None:
        """Learn every batch once, then log the metrics and a checkpoint."""
        network = self.state.network
        self.tell(Event.EPOCH_START)
        for images, labels in self.digits.batches(network.epoch):
            loss = network.learn(images, labels)
            self.logger.data_batch({"loss": loss, **self.now()})
            self.tell(Event.BATCH_END)
        network.epoch += 1
        accuracy = network.accuracy(self.digits.test_images, self.digits.test_labels)
        self.logger.data_epoch({"accuracy": accuracy, **self.now()})
        self.log_checkpoint()
        self.diary.write("epoch", epoch=network.epoch, accuracy=accuracy, time=time.time())
        self.tell(Event.EPOCH_END)

    def log_checkpoint(self) -> None:
        """Log the network and point `ckpt/latest` to it.

        It overwrites: a session that was killed before it had pointed to its last checkpoint is
        followed by one that trains the same epoch again.
        """
        path = self.workspace.output / "checkpoint.npz"
        self.state.network.save(path)
        name = f"ckpt/ep{self.state.network.epoch}.npz"
        self.logger.file_artifact(LogLevel.EPOCH, name, path, overwrite=True)
        path.unlink()  # the spool has its own copy
        self.logger.symlink_artifact(LogLevel.EPOCH, name, LATEST, overwrite=True)

    def now(self) -> dict[str, float]:
        """Return what tells one line of the metrics from another: the session, and the time."""
        return {"session": self.session, "time": time.time()}

    def tell(self, event: Event) -> None:
        """Run the hook of `event` in every callback."""
        for callback in self.callbacks:
            callback.run_event(event, self.state, self.logger)


def main() -> None:
    """Run one session, as the command line's arguments say."""
    root, session, epochs = sys.argv[1:]
    Training(Workspace(Path(root)), int(session)).run(int(epochs))


if __name__ == "__main__":
    main()
