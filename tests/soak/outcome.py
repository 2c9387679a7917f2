"""Counts what a soak did and found, and says it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What was done, and what it found; of one round, or of several together."""

    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    drains: Counter[str] = field(default_factory=Counter)
    full_phases: int = 0
    refused: int = 0
    jumps: int = 0
    storms: int = 0
    uploads: int = 0
    owed: int = 0
    looks: int = 0
    blind: int = 0
    tidied: int = 0
    lapsing: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count another's in."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)

    def text(self) -> str:
        """Return a line for each kind of thing."""
        return "\n".join(
            f"  {name:<16}{said}"
            for name, said in (
                ("minutes", f"{self.seconds / 60:.1f}"),
                ("kills", _counted(self.kills)),
                ("stopped a while", _counted(self.stops)),
                ("started again", _counted(self.restarts)),
                ("faults injected", _counted(self.injected)),
                ("storms", str(self.storms)),
                ("full disks", f"{self.full_phases}, {self.refused} log calls refused"),
                ("clock jumps", str(self.jumps)),
                ("drains by code", _counted(self.drains)),
                ("uploads", f"{self.uploads}, {self.owed} names owed"),
                ("looks", f"{self.looks}, {self.blind} of them saw nothing"),
                ("tidied by gc", f"{self.tidied}; {self.lapsing} sessions end by themselves"),
                ("FAULTS FOUND", str(len(self.faults))),
            )
        )


def _counted(counter: Counter[str]) -> str:
    if not counter:
        return "0"
    each = ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
    return f"{counter.total()}: {each}"
