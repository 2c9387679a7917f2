"""Settle each option: flag over `UPLOADER_*` environment over what the spool remembers.

Only options that are not secret exist here; they are stored in the spool in the clear.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploader.clock import parse_duration
from uploader.model import SymlinkMode

if TYPE_CHECKING:
    from collections.abc import Mapping

SPOOL_VARIABLE = "UPLOADER_SPOOL"
MIB = 1 << 20

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Options:
    """What the spool remembers about how to upload. None: the store's own default."""

    symlink_mode: SymlinkMode | None = None
    part_size: int | None = None  #: bytes; rounded up to what the store and the file need
    max_attempts: int | None = None  #: None: a transient failure is never final
    keep_done: float = 30 * 86400.0  #: seconds for which a finished row is kept
    allow_unsafe_create: bool = False  #: check-then-put where the store has no atomic create

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as it is stored."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def changed_by(self, given: Mapping[str, Any]) -> Options:
        """Return the options with those that are `given` and not None put over them.

        Raises:
            ValueError: an option that does not exist, or a value that it cannot take.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(given) - known)
        if unknown:
            msg = f"no such option: {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
            raise ValueError(msg)
        changes = {key: _typed(key, value) for key, value in given.items() if value is not None}
        return replace(self, **changes)


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the options that `UPLOADER_*` variables set, by option name."""
    environ = os.environ if environ is None else environ
    names = {f"UPLOADER_{field.name.upper()}": field.name for field in fields(Options)}
    return {name: environ[key] for key, name in names.items() if environ.get(key)}


def default_spool(destination: str) -> Path:
    """Return the spool's place when none is named: `UPLOADER_SPOOL`, else in the user's state.

    One directory a destination, so that two destinations never meet in one spool.
    """
    named = os.environ.get(SPOOL_VARIABLE)
    if named:
        return Path(named)
    import hashlib

    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "uploader" / hashlib.sha256(destination.encode()).hexdigest()[:16]


def parse_size(text: str | int) -> int:
    """Return the bytes in `1048576`, `8MiB`, `2 GB`; `ValueError` says what is expected."""
    if isinstance(text, int) and text >= 0:
        return text
    text = str(text)
    number = text.strip().rstrip("BbIi")
    power = "KMGT".find(number[-1:].upper()) + 1 if number[-1:].isalpha() else 0
    base = 1000 if text.strip()[-2:-1].upper() in "KMGT" and text.strip()[-1:] in "Bb" else 1024
    try:
        value = float(number[: -1 if power else None])
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf or (number[-1:].isalpha() and not power):
        msg = f"not a size: {text!r}; write bytes, or a number with KiB, MiB, GiB or TiB"
        raise ValueError(msg)
    return int(value * base**power)


def _typed(key: str, value: Any) -> Any:
    try:
        if key == "symlink_mode":
            return SymlinkMode(value)
        if key == "keep_done":
            return parse_duration(str(value))
        if key == "allow_unsafe_create":
            return _WORDS[str(value).lower()]
        number = parse_size(value) if key == "part_size" else int(value)
    except KeyError as error:
        msg = f"option {key}: write yes or no, not {value!r}"
        raise ValueError(msg) from error
    except ValueError as error:
        msg = f"option {key}: {error}"
        raise ValueError(msg) from error
    if number < 1:
        msg = f"option {key}: must be at least 1, not {number}"
        raise ValueError(msg)
    return number
