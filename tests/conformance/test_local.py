"""Hold the local store to the contract of every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from uploader.store.testing.conformance import StoreConformance


class TestLocalStore(StoreConformance):
    """A directory on this machine's own file system."""

    @pytest.fixture
    def destination(self, tmp_path: Path) -> str:
        """Return a directory that `prepare` will make."""
        return (tmp_path / "remote").as_uri()
