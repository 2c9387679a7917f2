"""Orders the tests: quick ones first, so that a plain mistake shows before the killing starts."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Folders of tests/ that run last, in this order; every other folder runs before them.
LAST_ROOMS = ("model", "conformance", "crash", "demo", "packaging")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by room, what is marked slow to the end of its room; else leave the order alone."""
    items.sort(key=_when)


def _when(item: pytest.Item) -> tuple[int, bool]:
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    place = LAST_ROOMS.index(room) + 1 if room in LAST_ROOMS else 0
    return place, item.get_closest_marker("slow") is not None
