"""Hold the form of a log's lines."""

from __future__ import annotations

import json
import pathlib
from enum import IntEnum
from typing import Any

import pytest

from destination import LogLevel
from destination.log_line import data_line, printed_line


class _Tensor:
    """What torch and numpy values have in common."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        if isinstance(self.value, list):
            raise ValueError("only one element tensors can be converted")  # noqa: TRY004 - torch's
        return self.value

    def tolist(self) -> Any:
        return self.value


class Float64(float):
    """As numpy's: a float with a repr of its own."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


class Number(IntEnum):
    """An int with a repr of its own."""

    ONE = 1


@pytest.mark.parametrize(
    ("value", "text", "parsed"),
    [
        (_Tensor(0.25), "0.25", 0.25),
        (_Tensor([1, 2]), "[ 1, 2, ]", [1, 2]),
        (Float64(0.5), "0.5", 0.5),
        (Number.ONE, "1", 1),
        (float("nan"), '"NaN"', "NaN"),
        (-float("inf"), '"-Infinity"', "-Infinity"),
        ({"a": (None, True)}, '{ "a": [ None, True, ], }', {"a": [None, True]}),
        (pathlib.Path("x"), '"x"', "x"),
        ("é\n", '"é\\n"', "é\n"),
    ],
)
def test_any_value_can_be_logged(value: Any, text: str, parsed: Any) -> None:
    """A framework's numbers are plain ones, and every jsonl line is valid JSON."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    line = data_line("text", LogLevel.FIT, {"batch": 0}, {"v": value})
    assert line == f'[FIT][batch=0]: {{ "v": {text}, }}\n'
    line = data_line("jsonl", LogLevel.FIT, {"batch": 0}, {"v": value})
    assert json.loads(line, parse_constant=refuse)["data"] == {"v": parsed}


def test_a_state_without_time_has_no_batch_in_its_lines() -> None:
    """Nothing is made up."""
    assert data_line("text", LogLevel.EPOCH, {}, {}) == "[EPOCH]: { }\n"
    assert json.loads(data_line("jsonl", LogLevel.EPOCH, {}, {})) == {"level": "EPOCH", "data": {}}


def test_an_empty_printed_line_has_no_mark_in_text() -> None:
    """As Composer writes it; in jsonl the stream is named."""
    assert printed_line("text", "stdout", "") == "\n"
    assert json.loads(printed_line("jsonl", "stdout", "")) == {"stream": "stdout", "text": ""}
