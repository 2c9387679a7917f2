"""Write log lines to stderr, as people read them or as JSON for a collector.

What a line says of an upload beside its words (`model.about`) are keys of the object in JSON. In
text it ends the line, as `key=value`, always in the same order; a terminal does not show it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone

from uploader.errors import without_passwords

NOTICE = logging.INFO + 5  #: level of what a person waits to read, and not of each single upload
FACTS = "upload"  #: attribute of a record that says of which upload it is; see `model.about`
STEP = 10  #: between two levels of `logging`: what one -v or -q changes

_NOT_PLAIN = re.compile(r'[ "=]')  #: what makes a value hard to tell from what follows


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
    handler.setFormatter(_Json() if log_format == "json" else _Text(facts=not _is_terminal()))
    logger = logging.getLogger("uploader")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(max(logging.DEBUG, level + STEP * (quiet - verbose)))


def write_to(handler: logging.Handler, *, instead: bool) -> None:
    """Have log lines written by `handler` too, or instead of stderr, in the form that was asked."""
    logger = logging.getLogger("uploader")
    handler.setFormatter(_Json() if _is_json(logger) else _Text(facts=True))
    logger.handlers[:] = [handler] if instead else [*logger.handlers, handler]


def say(text: str, level: int = NOTICE) -> None:
    """Tell a person how it ended: as it is, or as one record where the lines are kept or JSON."""
    logger = logging.getLogger("uploader")
    if _is_json(logger):
        logger.log(level, "%s", text)
        return
    kept = [one for one in logger.handlers if isinstance(one.formatter, _Text)]
    if not kept or any(isinstance(one, _Stderr) for one in kept):
        say_on_stderr(text)
    for one in kept:
        if not isinstance(one, _Stderr):
            one.handle(logger.makeRecord(logger.name, level, __file__, 0, text, (), None))


def say_on_stderr(text: str) -> None:
    """Write a line there; a full disk, or a reader that went away, is no reason to fail."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _is_json(logger: logging.Logger) -> bool:
    return any(isinstance(handler.formatter, _Json) for handler in logger.handlers)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """Writes to whatever stderr is now: a progress bar puts itself in its place for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> object:
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Say what is wrong with a call of ours, but not that stderr cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _Form(logging.Formatter):
    """Makes a record's line once, however many handlers write it in the same form."""

    def __init__(self, *, facts: bool = True) -> None:
        super().__init__()
        self._facts = facts

    def format(self, record: logging.LogRecord) -> str:
        form = (type(self), self._facts)
        made: tuple[object, str] = getattr(record, "made", (None, ""))
        if made[0] != form:
            made = record.__dict__["made"] = (form, self._line(record))
        return made[1]

    def _line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError


class _Text(_Form):
    """`2024-05-01 12:00:00 warning: message  upload_id=…`; no level where it says nothing."""

    def _line(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno in (logging.INFO, NOTICE) else f"{record.levelname.lower()}: "
        first, *more = _whole_message(self, record).split("\n")
        facts = _facts_text(record) if self._facts else ""
        return "\n    ".join([f"{when} {level}{first}{facts}", *more])


class _Json(_Form):
    """One object a line: time (UTC), level, logger, message; and what is known of the upload."""

    def _line(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        return json.dumps(
            {
                "time": when.isoformat(timespec="milliseconds"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _whole_message(self, record),
                **getattr(record, FACTS, {}),
            }
        )


def _facts_text(record: logging.LogRecord) -> str:
    facts: dict[str, object] = getattr(record, FACTS, {})
    return "".join(f"  {key}={_value(value)}" for key, value in facts.items())


def _value(value: object) -> str:
    text = str(value)
    if not isinstance(value, str) or text.isalnum():
        return text
    plain = text.isprintable() and not _NOT_PLAIN.search(text)
    return text if plain and text else json.dumps(text)


def _whole_message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    return without_passwords(message)
