"""Fill in the name that a watched file gets at the destination.

A placeholder is a plain word with an optional format (`{rank:02d}`); a brace that belongs to the
name is written twice. What is wrong with a template is told before anything is watched.
"""

from __future__ import annotations

import os
import posixpath
import string
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: placeholder -> environment variable of the launcher, and its value where there is none
PROCESS = {
    "local_rank": ("LOCAL_RANK", 0),
    "world_size": ("WORLD_SIZE", 1),
    "local_world_size": ("LOCAL_WORLD_SIZE", 1),
    "node_rank": ("NODE_RANK", 0),
}

#: what each placeholder is, for the help
PLACEHOLDERS = (
    "{path} (below DIR), {dir}, {name}, {stem}, {suffix}, {run_name}, {rank}, {local_rank}, "
    "{node_rank}, {world_size}, {local_world_size}"
)


class Naming:
    """A template such as `{run_name}/{path}`."""

    def __init__(self, template: str, *, run: str, rank: int) -> None:
        """Read a template.

        Raises:
            ValueError: a placeholder that there is not, or that has no value; or a template that
                gives every file one name.
        """
        self._template = template
        self._fixed = {"run_name": run or None, "rank": rank, **_of_process()}
        if self.of("a/b.c") == self.of("d/e.f"):
            raise ValueError(
                f"every file would have the name {template!r}: put {{path}} or {{name}} into it"
            )

    def of(self, path: str) -> str:
        """Return the artifact name of the file at a relative path."""
        try:
            return _Placeholders().vformat(self._template, (), self._fixed | _of_path(path))
        except _PlaceholderError:
            raise
        except ValueError as error:
            raise ValueError(
                f"{self._template!r} cannot be filled: {error}; "
                "write a brace that belongs to the name twice ('{{' or '}}')"
            ) from error


class _PlaceholderError(ValueError):
    """Tells a placeholder that does not exist from a brace that is none."""


class _Placeholders(string.Formatter):
    """Knows plain words only: no attributes, no indices."""

    def get_field(self, field_name: str, _args: Any, known: Mapping[str, Any]) -> Any:
        if field_name not in known:
            raise _PlaceholderError(
                f"{{{field_name}}} is not a placeholder here; there are {PLACEHOLDERS} "
                "(a brace that belongs to the name is written twice)"
            )
        if known[field_name] is None:
            raise _PlaceholderError("{run_name} is not known: say --run NAME, or set RUN_NAME")
        return known[field_name], field_name


def _of_path(path: str) -> dict[str, str]:
    directory, name = posixpath.split(path)
    stem, suffix = posixpath.splitext(name)
    return {"path": path, "dir": directory, "name": name, "stem": stem, "suffix": suffix}


def _of_process() -> dict[str, int]:
    return {name: _number(variable, alone) for name, (variable, alone) in PROCESS.items()}


def _number(variable: str, alone: int) -> int:
    text = os.environ.get(variable) or str(alone)
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(
            f"the environment variable {variable} must be a whole number, not {text!r}"
        ) from error
