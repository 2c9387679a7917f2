"""Puts a spool to everything at once for half a minute at each kind of destination."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.soak.rounds import KINDS, hold

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 16.0  #: of breaking things; starting and judging take about as long again
KILLS = 10
OWED = 50  #: calls that returned; on a busy machine most ranks are killed before they log


# Longer than it ever takes: the last drain waits for what failed often, up to a minute.
@pytest.mark.timeout(400)
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_killed_stopped_full_or_wrong_nothing_is_lost(
    kind: str, tmp_path: Path
) -> None:
    """All whose log call returned is there, last version, alias right; nothing else is anywhere."""
    seed = random.SystemRandom().randrange(1 << 32)
    outcome = hold(kind, tmp_path, seed, SECONDS, kills=KILLS, owed=OWED)
    print(f"scripts/soak --destination {kind} --seed {seed}\n{outcome.text()}")
    assert not outcome.faults
    assert outcome.kills.total() >= KILLS
    assert outcome.looks > 20, "nobody looked while it went on"
    assert outcome.owed >= OWED
