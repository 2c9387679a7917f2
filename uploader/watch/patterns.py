"""Say which files of a directory are meant.

- A pattern without `/` is about names, at any depth; one with `/` about the path below the
  directory, in which `*` stays within one name and `**` stands for any number of directories.
- Names that are hidden or temporary are left out, directories with all that is in them, unless the
  pattern names them itself: `*` does not fit `.x` or `x.part`, but `.*` and `*.part` do.
- What is excluded is so with all that is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names that programs give to what they have not finished; the last two are Orbax's and Hugging
#: Face's directories for a checkpoint that they are still writing.
TEMPORARY = (
    "*~",
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.incomplete",
    "*.swp",
    "*.orbax-checkpoint-tmp*",
    "tmp-checkpoint-*",
)

_IS_TEMPORARY = re.compile("|".join(map(translate, TEMPORARY))).match  # one look, not nine

ANY_DEPTH = "**"


@dataclass(frozen=True)
class Patterns:
    """What is meant, and what of that is not."""

    wanted: tuple[tuple[str, ...], ...]
    excluded: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, wanted: Iterable[str], excluded: Iterable[str] = ()) -> Patterns:
        """Read patterns as they are typed; without one that is wanted, everything is.

        Raises:
            ValueError: one that nothing could ever fit.
        """
        return cls(
            tuple(map(_segments, wanted)) or (_segments("*"),), tuple(map(_segments, excluded))
        )

    def fit(self, path: str) -> bool:
        """Tell whether the file at a relative path is meant."""
        names = tuple(path.split("/"))
        return not self._is_excluded(names) and any(_fits(one, names) for one in self.wanted)

    def may_hold(self, path: str) -> bool:
        """Tell whether a file that is meant can be in the directory at a relative path."""
        names = tuple(path.split("/"))
        return not self._is_excluded(names) and any(_begins(one, names) for one in self.wanted)

    def _is_excluded(self, names: tuple[str, ...]) -> bool:
        return any(
            _fits(one, names[:length], anything=True)
            for one in self.excluded
            for length in range(1, len(names) + 1)
        )


def _segments(pattern: str) -> tuple[str, ...]:
    segments = tuple(one for one in pattern.split("/") if one not in ("", "."))
    if not segments or ".." in segments:
        raise ValueError(f"no file below the directory has a path like {pattern!r}")
    return segments if "/" in pattern.rstrip("/") else (ANY_DEPTH, *segments)


def _fits(pattern: tuple[str, ...], names: tuple[str, ...], *, anything: bool = False) -> bool:
    """Tell whether names are as the pattern says; with `anything`, hidden ones are as any other."""
    if not pattern:
        return not names
    first, rest = pattern[0], pattern[1:]
    if first == ANY_DEPTH and _fits(rest, names, anything=anything):
        return True
    if not names or not _fits_one(first, names[0], anything=anything):
        return False
    return _fits(pattern if first == ANY_DEPTH else rest, names[1:], anything=anything)


def _begins(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Tell whether something that is in a directory of these names may be as the pattern says."""
    if not pattern:
        return False
    if not names:
        return True
    first, rest = pattern[0], pattern[1:]
    if first == ANY_DEPTH and _begins(rest, names):
        return True
    return _fits_one(first, names[0]) and _begins(
        pattern if first == ANY_DEPTH else rest, names[1:]
    )


def _fits_one(segment: str, name: str, *, anything: bool = False) -> bool:
    return fnmatchcase(name, segment) and (anything or not _is_left_out(segment, name))


def _is_left_out(segment: str, name: str) -> bool:
    """Tell whether a name is hidden or temporary, and the pattern does not say that it means such.

    A pattern means them if it is, itself, a name of that kind.
    """
    if name.startswith(".") and not segment.startswith("."):
        return True
    if not _IS_TEMPORARY(name):
        return False
    return any(fnmatchcase(name, one) and not fnmatchcase(segment, one) for one in TEMPORARY)
