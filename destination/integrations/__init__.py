"""Adapt the destinations to training frameworks, one small module each.

A framework is imported only by importing its module here; none of them is a dependency.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Progress:
    """A `Timestamp` for frameworks that count in their own way."""

    epoch: int = 0  #: epochs that are complete
    batch: int = 0  #: optimizer steps that are complete


@dataclass
class RunState:
    """A `State` for frameworks that have another one."""

    run_name: str | None
    timestamp: Progress = field(default_factory=Progress)
