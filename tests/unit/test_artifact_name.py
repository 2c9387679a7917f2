"""Hold how placeholders are filled, in names and in paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from destination.artifact_name import (
    PROCESS,
    fill_name,
    fill_path,
    known_run_name,
    placeholders,
    strip_leading_slashes,
)
from destination.integrations import Progress, RunState


@dataclass
class Clock:
    """All that a Composer timestamp counts."""

    epoch: int = 3
    batch: int = 40
    batch_in_epoch: int = 4
    sample: int = 400
    sample_in_epoch: int = 40
    token: int = 5000
    token_in_epoch: int = 500
    total_wct: timedelta = timedelta(seconds=90.5)
    epoch_wct: timedelta = timedelta(seconds=30)
    batch_wct: float = 0.25


@dataclass
class OldState:
    """A state of Composer v0.6: `timer`, and no run name."""

    timer: Clock = field(default_factory=Clock)


@pytest.fixture(autouse=True)
def single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher's variables, whatever this test itself runs under."""
    for variable, _ in PROCESS.values():
        monkeypatch.delenv(variable, raising=False)


def filled(template: str, state: Any = None, run_name: str | None = "run") -> str:
    """Fill an artifact name as the Logger does."""
    return fill_name(template, placeholders(state, run_name))


ALL_OF_THE_PROCESS = "{run_name} {rank} {local_rank} {world_size} {local_world_size} {node_rank}"


def test_a_single_process_is_rank_0_of_1() -> None:
    """Without a launcher the defaults are those of one process on one node."""
    assert filled(ALL_OF_THE_PROCESS) == "run 0 0 1 1 0"


def test_the_launchers_variables_say_where_the_process_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RANK and its kin, as torchrun and Composer set them."""
    for variable, value in {
        "RANK": "9",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "16",
        "LOCAL_WORLD_SIZE": "8",
        "NODE_RANK": "1",
    }.items():
        monkeypatch.setenv(variable, value)
    assert filled(ALL_OF_THE_PROCESS) == "run 9 1 16 8 1"


def test_a_variable_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable to mend."""
    monkeypatch.setenv("RANK", "zero")
    with pytest.raises(ValueError, match="RANK must be a whole number, not 'zero'"):
        filled("{rank}")


def test_the_timestamps_counts_and_times_are_placeholders() -> None:
    """Counts are whole numbers, wall clock times are seconds, from timedelta or number."""
    template = (
        "{epoch} {batch} {batch_in_epoch} {sample} {sample_in_epoch} {token} {token_in_epoch} "
        "{total_wct} {epoch_wct} {batch_wct}"
    )
    assert filled(template, OldState()) == "3 40 4 400 40 5000 500 90.5 30.0 0.25"


def test_a_timestamp_is_preferred_to_a_timer() -> None:
    """`timestamp` is what later versions keep up to date."""

    @dataclass
    class Both:
        timestamp: Clock = field(default_factory=lambda: Clock(epoch=7))
        timer: Clock = field(default_factory=Clock)

    assert filled("{epoch}", Both()) == "7"


def test_a_placeholder_takes_a_format() -> None:
    """`{epoch:04d}` sorts well."""
    assert filled("ep{epoch:04d}", RunState("run", Progress(epoch=7))) == "ep0007"


def test_an_unknown_placeholder_names_those_that_exist() -> None:
    """A typing error is a ValueError, never a KeyError and never a name."""
    with pytest.raises(ValueError, match=r"\{epohc\} is not a placeholder.*\{run_name\}.*\{rank\}"):
        filled("{epohc}")


def test_a_count_that_the_state_has_not_is_unknown() -> None:
    """`{token}` exists only where the timestamp counts tokens."""
    with pytest.raises(ValueError, match=r"\{token\} is not a placeholder here.*\{epoch\}"):
        filled("{token}", RunState("run"))


@pytest.mark.parametrize("template", ["{rank.real}", "{rank[0]}", "{}", "{0}"])
def test_attributes_indices_and_positions_are_no_placeholders(template: str) -> None:
    """A name reaches plain words only, not into the values."""
    with pytest.raises(ValueError, match="is not a placeholder"):
        filled(template)


@pytest.mark.parametrize("template", ["a}b", "a{b", "{rank"])
def test_a_stray_brace_in_a_name_says_to_double_it(template: str) -> None:
    """The message quotes the name and says what to write."""
    with pytest.raises(ValueError, match=r"cannot be filled.*twice"):
        filled(template)


def test_a_doubled_brace_is_a_brace() -> None:
    """As in `str.format`."""
    assert filled("a{{b}}{rank}") == "a{b}0"


def test_a_value_is_not_expanded_again() -> None:
    """A run called `{rank}` stays so."""
    assert filled("{run_name}/x", run_name="{rank}") == "{rank}/x"


def test_an_unknown_run_name_is_a_runtime_error() -> None:
    """It exists, but is not known: the message says how to give one."""
    with pytest.raises(RuntimeError, match=r"\{run_name\} is not known yet.*Event.INIT"):
        filled("{run_name}/x", run_name=None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out/{run_name}/{rank:03d}.pt", "out/run/000.pt"),
        ("out/{weird}/a{b/c}d/{}.pt", "out/{weird}/a{b/c}d/{}.pt"),
        ("{{cookiecutter.name}}/{rank}", "{{cookiecutter.name}}/0"),
        ("{{rank}}/{rank}", "{rank}/0"),
        ("{epoch}.pt", "{epoch}.pt"),
    ],
)
def test_in_a_path_only_placeholders_that_exist_are_replaced(path: str, expected: str) -> None:
    """A path is somebody else's: its other braces are left alone, and never an error."""
    assert fill_path(path, placeholders(None, "run")) == expected


def test_a_run_name_that_is_not_known_stays_in_a_path() -> None:
    """The path is then not found, which is an error that shows it."""
    assert fill_path("{run_name}/{rank}", placeholders(None, None)) == "{run_name}/0"


def test_leading_slashes_are_stripped() -> None:
    """As Composer does."""
    assert strip_leading_slashes("//a/b") == "a/b"


@pytest.mark.parametrize("name", ["", "/", "///"])
def test_nothing_but_slashes_is_no_name(name: str) -> None:
    """What is left must be a name."""
    with pytest.raises(ValueError, match="it is empty"):
        strip_leading_slashes(name)


def test_the_loggers_run_name_goes_before_the_states() -> None:
    """Composer up to v0.7.1 has it on the logger, later ones on the state, some on neither."""
    assert known_run_name(RunState("state's"), RunState("logger's")) == "logger's"
    assert known_run_name(RunState("state's"), object()) == "state's"
    assert known_run_name(RunState(None), OldState()) is None
