"""Hold a store to `store/base.py`, all of it: the one suite that every store passes.

A store's test is a subclass with one fixture:

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def destination(self) -> str:
            return "my://fresh-and-empty-place"

- The store is opened as a worker opens it, by its URL, and always more than once: what a store
  object remembers must not matter.
- A capability that a store does not have is asserted, not skipped.
- It ends in a race, since that is what no single caller can show.
- It imports pytest, and only tests import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from uploader.place import Place
from uploader.store.base import ObjectStore
from uploader.store.opening import open_store
from uploader.store.testing.given import Artifacts
from uploader.store.testing.links import Links, Pointers
from uploader.store.testing.parts import ObjectsInParts
from uploader.store.testing.race import Race
from uploader.store.testing.whole import ReadingAndListing, WholeObjects


class Opened:
    """The store that the facts are held against."""

    @pytest.fixture
    def destination(self) -> str:
        """Return the URL of a place that is the test's own, and empty."""
        raise NotImplementedError

    @pytest.fixture
    def prepared(self, destination: str) -> Place:
        """The destination after its first use, with what it was found to honour."""
        place = Place.of(destination)
        store = open_store(place)
        try:
            return replace(place, capabilities=store.prepare(first=True))
        finally:
            store.close()

    @pytest.fixture
    def open_another(self, prepared: Place) -> Iterator[Callable[[], ObjectStore]]:
        """Open the destination as one more process would."""
        opened: list[ObjectStore] = []

        def open_one() -> ObjectStore:
            opened.append(open_store(prepared))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_another: Callable[[], ObjectStore]) -> ObjectStore:
        """The store, as a worker opens it."""
        return open_another()

    @pytest.fixture
    def another(self, open_another: Callable[[], ObjectStore]) -> ObjectStore:
        """Open the same destination again, as another worker."""
        return open_another()

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Artifacts:
        """Make what is put."""
        return Artifacts(tmp_path / "blobs")


class StoreConformance(
    Opened, WholeObjects, ReadingAndListing, ObjectsInParts, Links, Pointers, Race
):
    """Every fact that the schedule rests on."""
