"""Upload a training run's artifacts so that no crash loses one.

Public names load on first use: `import uploader` costs next to nothing, and never an SDK.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uploader.drain.agent import start_agent
    from uploader.drain.run import DrainReport, drain
    from uploader.errors import (
        AuthError,
        ConflictError,
        DamagedError,
        DestinationMismatchError,
        NotASpoolError,
        NotFoundError,
        PermanentError,
        SourceChangedError,
        SpoolDamagedError,
        SpoolError,
        SpoolFullError,
        SpoolVersionError,
        StoreError,
        ThrottledError,
        TransientError,
        UploaderError,
        UploadFailedError,
    )
    from uploader.model import PutMode, Receipt, Status, Upload
    from uploader.readback.get import fetch
    from uploader.spool.ownership import Owner, agent_owner
    from uploader.spool.spool import Spool
    from uploader.state import State

_HOMES = {
    "uploader.drain.agent": ("start_agent",),
    "uploader.drain.run": ("DrainReport", "drain"),
    "uploader.errors": (
        "AuthError", "ConflictError", "DamagedError", "DestinationMismatchError", "NotASpoolError",
        "NotFoundError", "PermanentError", "SourceChangedError", "SpoolDamagedError", "SpoolError",
        "SpoolFullError", "SpoolVersionError", "StoreError", "ThrottledError", "TransientError",
        "UploadFailedError", "UploaderError",
    ),
    "uploader.model": ("PutMode", "Receipt", "Status", "Upload"),
    "uploader.readback.get": ("fetch",),
    "uploader.spool.ownership": ("Owner", "agent_owner"),
    "uploader.spool.spool": ("Spool",),
    "uploader.state": ("State",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AuthError", "ConflictError", "DamagedError", "DestinationMismatchError", "DrainReport",
    "NotASpoolError", "NotFoundError", "Owner", "PermanentError", "PutMode", "Receipt",
    "SourceChangedError", "Spool", "SpoolDamagedError", "SpoolError", "SpoolFullError",
    "SpoolVersionError", "State", "Status", "StoreError", "ThrottledError", "TransientError",
    "Upload", "UploadFailedError", "UploaderError", "agent_owner", "drain", "fetch", "start_agent",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    module = import_module(_HOME_OF[name])
    # the package `drain` is callable, and is what the import system puts here anyway
    value = sys.modules["uploader.drain"] if name == "drain" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
