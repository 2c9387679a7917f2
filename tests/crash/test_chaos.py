"""Kills processes of every kind a hundred times at random, and finds everything in its place."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.crash.chaos import Chaos

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 100


@pytest.mark.timeout(400)
def test_a_hundred_random_kills_lose_nothing(tmp_path: Path) -> None:
    """Every artifact whose log call returned is there, last version, alias right, nothing else."""
    seed = random.SystemRandom().randrange(1 << 32)
    outcome = Chaos(tmp_path, seed).run(KILLS, 0)
    print(outcome)
    assert not outcome.faults
    assert sum(outcome.kills.values()) >= KILLS
    assert len(outcome.kills) == 4, "one kind was never killed"
    assert outcome.promises > 50
