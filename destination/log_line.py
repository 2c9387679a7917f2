"""Writes one line of a log, for people (text) or for programs (jsonl).

- `text` is Composer's form: `[EPOCH][batch=2]: { "loss": 0.5, }`, `[stdout]: hello`.
- `jsonl` is one JSON object a line: `{"level": "EPOCH", "epoch": 1, "batch": 2, "data": {...}}`,
  `{"stream": "stdout", "text": "hello"}`. It is valid JSON whatever is logged: a number that JSON
  does not have is the string "NaN", "Infinity" or "-Infinity".
- Values may be a framework's (tensors, arrays): they are asked for `item()` or `tolist()`; no
  framework is imported to find out.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from destination.logger_destination import LogLevel


def data_line(form: str, level: LogLevel, when: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return a line for `data`; `when` holds the counts of the timestamp, as far as they exist."""
    if form == "jsonl":
        counts = {count: when[count] for count in ("epoch", "batch") if count in when}
        return _json({"level": level.name, **counts, "data": data})
    batch = f"[batch={when['batch']}]" if "batch" in when else ""
    return f"[{level.name}]{batch}: {_text(_plain(data))}\n"


def printed_line(form: str, stream: str, text: str) -> str:
    """Return a line for something that was printed to `stream`."""
    if form == "jsonl":
        return _json({"stream": stream, "text": text})
    return f"[{stream}]: {text}\n" if text else "\n"


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(_plain(record), ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return `value` in the types that JSON has."""
    if value is None or isinstance(value, bool | str):
        return value
    # A subclass (an IntEnum, numpy's float64) becomes the plain type: its repr() is its own.
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _unheard_of(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return _foreign(value)


def _unheard_of(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _foreign(value: Any) -> Any:
    for method in ("item", "tolist"):
        try:
            plain = getattr(value, method)()
        except Exception:  # noqa: BLE001, S112 - a stranger's object: whatever it raises, it is shown by str()
            continue
        if type(plain) is not type(value):
            return _plain(plain)
    return str(value)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + "".join(f"{_quoted(key)}: {_text(one)}, " for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[ " + "".join(f"{_text(one)}, " for one in value) + "]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
