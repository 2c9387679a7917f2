"""Write log lines to stderr, as people read them or as JSON for a collector."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from uploader.errors import without_passwords

NOTICE = logging.INFO + 5  #: level of what a person waits to read, and not of each single upload
STEP = 10  #: between two levels of `logging`: what one -v or -q changes


def set_up(level: int, *, verbose: int = 0, quiet: int = 0, log_format: str = "text") -> None:
    """Begin to write this program's log lines of `level` and above to stderr.

    Args:
        level: of `logging`, before `verbose` and `quiet` change it.
        verbose: how many times `-v` was given.
        quiet: how many times `-q` was given.
        log_format: "text" or "json".
    """
    logging.addLevelName(NOTICE, "NOTICE")
    handler = _Stderr()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logger = logging.getLogger("uploader")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(max(logging.DEBUG, level + STEP * (quiet - verbose)))


def say(text: str, level: int = NOTICE) -> None:
    """Tell a person how it ended: as it is, or as one record where the lines are JSON."""
    logger = logging.getLogger("uploader")
    if any(isinstance(handler.formatter, _Json) for handler in logger.handlers):
        logger.log(level, "%s", text)
    else:
        sys.stderr.write(f"{text}\n")


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """Writes to whatever stderr is now: a progress bar puts itself in its place for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:
        return sys.stderr


class _Text(logging.Formatter):
    """`2024-05-01 12:00:00 warning: message`; the level only where it says something."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno in (logging.INFO, NOTICE) else f"{record.levelname.lower()}: "
        return f"{when:%Y-%m-%d %H:%M:%S} {level}{_whole_message(self, record)}"


class _Json(logging.Formatter):
    """One object a line: time (UTC), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        return json.dumps(
            {
                "time": when.isoformat(timespec="milliseconds"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _whole_message(self, record),
            }
        )


def _whole_message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    return without_passwords(message)
