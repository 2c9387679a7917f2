"""Give a training script what it logs artifacts with.

Names load on first use, so that `import destination` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from destination.file_logger import FileLogger
    from destination.logger import Logger
    from destination.logger_destination import Callback, Event, LoggerDestination, LogLevel, State
    from destination.object_store_logger import ObjectStoreLogger

__all__ = [
    "Callback",
    "Event",
    "FileLogger",
    "LogLevel",
    "Logger",
    "LoggerDestination",
    "ObjectStoreLogger",
    "State",
]

_HOME = {
    "Callback": "destination.logger_destination",
    "Event": "destination.logger_destination",
    "FileLogger": "destination.file_logger",
    "LogLevel": "destination.logger_destination",
    "Logger": "destination.logger",
    "LoggerDestination": "destination.logger_destination",
    "ObjectStoreLogger": "destination.object_store_logger",
    "State": "destination.logger_destination",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'destination' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
