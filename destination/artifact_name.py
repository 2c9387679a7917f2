"""Fills the placeholders of artifact names and file paths.

- In an artifact name every brace is a placeholder or doubled, as in `str.format`. An unknown one is
  a ValueError that names those that exist: a typing error must not become a name.
- A file path is somebody else's: a folder may be called `{x}` or `{{cookiecutter.name}}`. There
  only the placeholders that exist are replaced, `{{rank}}` stands for the text `{rank}`, and every
  other brace is left as it is. Braces of a path thus never make the training fail.
- A placeholder is a plain word with an optional format (`{epoch:04d}`): no attributes, no indices.
- Values that came in (an artifact's name in `{artifact_name}`) are never expanded a second time.
"""

from __future__ import annotations

import os
import re
import string
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from destination.logger_destination import State

#: placeholder -> (environment variable that torchrun and Composer set, value of a single process)
PROCESS = {
    "rank": ("RANK", 0),
    "local_rank": ("LOCAL_RANK", 0),
    "world_size": ("WORLD_SIZE", 1),
    "local_world_size": ("LOCAL_WORLD_SIZE", 1),
    "node_rank": ("NODE_RANK", 0),
}

#: counts of a timestamp, as whole numbers
COUNTS = (
    "epoch",
    "batch",
    "batch_in_epoch",
    "sample",
    "sample_in_epoch",
    "token",
    "token_in_epoch",
)

#: wall clock times of a timestamp, as seconds
TIMES = ("total_wct", "epoch_wct", "batch_wct")


def fill_name(template: str, values: Mapping[str, Any]) -> str:
    """Return `template` with its placeholders filled from `values`.

    Raises:
        ValueError: a placeholder that `values` does not have, or a brace that is none and is not
            doubled.
        RuntimeError: `{run_name}` where no run name is known.
    """
    try:
        return _Placeholders().vformat(template, (), values)
    except _UnknownPlaceholderError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{template!r} cannot be filled: {error}; "
            "write a brace that belongs to the name twice ('{{' or '}}')"
        ) from error


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """Return `template` with the placeholders of `values` replaced and all else as it is.

    Raises:
        ValueError: a format that does not suit its value (`{rank:x y}`).
    """
    known = {name: value for name, value in values.items() if value is not None}
    words = "|".join(map(re.escape, known))
    placeholder = re.compile(rf"\{{\{{(?:{words})\}}\}}|\{{(?:{words})(?::[^{{}}]*)?\}}")
    return placeholder.sub(lambda found: fill_name(found[0], known), template)


def strip_leading_slashes(artifact_name: str) -> str:
    """Return the name without leading slashes, which Composer strips too.

    Raises:
        ValueError: nothing is left.
    """
    stripped = artifact_name.lstrip("/")
    if not stripped:
        raise ValueError(f"{artifact_name!r} is not an artifact name: it is empty")
    return stripped


def placeholders(state: State | None, run_name: str | None) -> dict[str, Any]:
    """Return every placeholder that exists for `state` at this moment, with its value.

    `run_name` is always there, as None where it is not known; what a timestamp counts is there
    where `state` has it.
    """
    return {"run_name": run_name, **process_placeholders(), **time_placeholders(state)}


def known_run_name(state: State | None, logger: Any = None) -> str | None:
    """Return the run's name: the logger's (Composer up to v0.7.1), else the state's, else None."""
    return getattr(logger, "run_name", None) or getattr(state, "run_name", None) or None


def process_placeholders() -> dict[str, int]:
    """Return where this process stands among the processes of its run.

    Raises:
        ValueError: an environment variable that holds something else than a whole number.
    """
    return {name: _env_int(variable, alone) for name, (variable, alone) in PROCESS.items()}


def time_placeholders(state: State | None) -> dict[str, int | float]:
    """Return what the state's `timestamp` (in Composer v0.6 its `timer`) counts."""
    timestamp = getattr(state, "timestamp", getattr(state, "timer", None))
    counts = {name: int(getattr(timestamp, name)) for name in COUNTS if hasattr(timestamp, name)}
    times = {name: _seconds(getattr(timestamp, name)) for name in TIMES if hasattr(timestamp, name)}
    return {**counts, **times}


class _UnknownPlaceholderError(ValueError):
    """Tells a placeholder that does not exist from a brace that is none."""


class _Placeholders(string.Formatter):
    """Knows plain words only."""

    def get_field(self, field_name: str, _args: Sequence[Any], known: Mapping[str, Any]) -> Any:
        if field_name not in known:
            names = " ".join(f"{{{name}}}" for name in known)
            raise _UnknownPlaceholderError(
                f"{{{field_name}}} is not a placeholder here; there are {names} "
                "(a brace that belongs to the name is written twice)"
            )
        if known[field_name] is None:
            raise RuntimeError(
                f"{{{field_name}}} is not known yet: give the state or the Logger a {field_name}, "
                "and run Event.INIT before the first use"
            )
        return known[field_name], field_name


def _env_int(variable: str, alone: int) -> int:
    text = os.environ.get(variable) or str(alone)
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(
            f"the environment variable {variable} must be a whole number, not {text!r}"
        ) from error


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
