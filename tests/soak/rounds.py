"""Holds one round of a soak: a destination, a small disk, a spool, an ordeal and its verdict."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.soak.destinations import destination
from tests.soak.disk import small_disk
from tests.soak.ordeal import Ordeal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.outcome import Outcome

KINDS = ("file", "s3", "gs")


def hold(
    kind: str, directory: Path, seed: int, seconds: float, *, kills: int = 0, owed: int = 0
) -> Outcome:
    """Soak one spool for so long, so many kills and so much owed at least; tell what was found."""
    chance = random.Random(seed)
    with (
        destination(kind, directory, chance) as where,
        small_disk(directory / "disk", where.disk) as disk,
    ):
        if where.proxy:
            where.proxy.mood = "usual"
        return Ordeal(directory, disk, where, seed).run(seconds, kills, owed)
