"""Names the places of one demo, for the trainer and for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: the run's name, and the folder of its artifacts at the destination
RUN_NAME = "digits"
#: the alias that a resumed trainer asks for
LATEST = "ckpt/latest"
#: the log of losses and accuracies, over all sessions
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Workspace:
    """The folder of one demo."""

    root: Path

    @property
    def spool(self) -> Path:
        """The spool of the training node."""
        return self.root / "spool"

    @property
    def destination(self) -> Path:
        """The folder that stands for the object store."""
        return self.root / "destination"

    @property
    def url(self) -> str:
        """The destination's URL."""
        return self.destination.as_uri()

    @property
    def diary(self) -> Path:
        """The trainer's record."""
        return self.root / "diary.jsonl"

    @property
    def output(self) -> Path:
        """Where the trainer writes its files before it logs them."""
        return self.root / "output"

    @property
    def trainer_log(self) -> Path:
        """What the trainers said."""
        return self.root / "trainer.log"

    def arrived(self, name: str) -> Path:
        """Return the file that the artifact `name` is at the destination."""
        return self.destination / RUN_NAME / name
