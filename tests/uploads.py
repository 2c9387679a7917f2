"""Make uploads as the ledger returns them, each field as a test wants it."""

from __future__ import annotations

from typing import Any

from uploader.model import Kind, Upload
from uploader.state import State

PLAIN: dict[str, Any] = {
    "seq": 1,
    "id": "0" * 32,
    "kind": Kind.FILE,
    "name": "name",
    "target": None,
    "overwrite": False,
    "size": 10,
    "crc32c": 0,
    "source_mtime": 1.5,
    "run": "run",
    "rank": 0,
    "state": State.ACTIVE,
    "waiting_on": None,
    "not_before": 0.0,
    "attempts": 0,
    "error_class": None,
    "error": None,
    "enqueued_at": 1.0,
    "finished_at": None,
    "session": None,
    "part_size": None,
    "receipt": None,
    "cancel_requested": False,
}


def make_upload(**changed: Any) -> Upload:
    """Return a small active file, but for what is changed."""
    return Upload(**(PLAIN | changed))
