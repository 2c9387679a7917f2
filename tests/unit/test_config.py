"""Hold what a spool can be told to remember, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from uploader.config import Options, default_spool, from_environment, parse_size
from uploader.model import SymlinkMode


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("8MiB", 8 << 20),
        ("8M", 8 << 20),
        ("8m", 8 << 20),
        ("2 GB", 2_000_000_000),
        ("2 GiB", 2 << 30),
        ("1.5k", 1536),
        ("1T", 1 << 40),
        ("100B", 100),
        (4096, 4096),
        ("0", 0),
    ],
)
def test_a_size_is_read_as_people_type_it(text: str | int, size: int) -> None:
    """KiB and K are 1,024 bytes, kB is 1,000."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "B", "MiB", "-1", "-1M", "8X", "8 M iB x", "inf", "infK", "nan", "nanM", -5]
)
def test_what_is_no_size_is_refused(text: str | int) -> None:
    """The message says what would be one."""
    with pytest.raises(ValueError, match=r"not a size: .*write bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("symlink_mode", "pointer", SymlinkMode.POINTER),
        ("symlink_mode", SymlinkMode.COPY, SymlinkMode.COPY),
        ("part_size", "8MiB", 8 << 20),
        ("max_attempts", "5", 5),
        ("keep_done", "3600", 3600.0),
        ("keep_done", "30d", 30 * 86400.0),
        ("keep_done", 0, 0.0),
        ("allow_unsafe_create", "1", True),
        ("allow_unsafe_create", "True", True),
        ("allow_unsafe_create", "no", False),
        ("allow_unsafe_create", False, False),
    ],
)
def test_an_option_is_read_from_text_or_from_its_value(key: str, given: Any, value: Any) -> None:
    """From the environment as from Python, and the same after it was stored."""
    options = Options().changed_by({key: given})
    assert getattr(options, key) == value
    assert Options().changed_by(json.loads(json.dumps(options.as_json()))) == options


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("symlink_mode", "hard"),
        ("part_size", "0"),
        ("part_size", -5),
        ("part_size", "much"),
        ("max_attempts", "0"),
        ("max_attempts", "often"),
        ("keep_done", "-1"),
        ("keep_done", "nan"),
        ("keep_done", "soon"),
        ("allow_unsafe_create", "perhaps"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_refused(key: str, given: Any) -> None:
    """The message names the option."""
    with pytest.raises(ValueError, match=f"option {key}: "):
        Options().changed_by({key: given})


def test_an_option_that_does_not_exist_is_refused() -> None:
    """A misspelt one is not silently without effect."""
    with pytest.raises(ValueError, match=r"no such option: part_sise; there are: .*part_size"):
        Options().changed_by({"part_sise": 1})


def test_only_what_is_given_changes() -> None:
    """None means: as it was."""
    before = Options(part_size=1 << 20, max_attempts=3)
    after = before.changed_by({"part_size": None, "max_attempts": 4})
    assert (after.part_size, after.max_attempts) == (1 << 20, 4)


def test_only_what_differs_from_the_defaults_is_stored() -> None:
    """A later version may have better defaults."""
    assert Options().as_json() == {}
    assert Options(max_attempts=3).as_json() == {"max_attempts": 3}


def test_the_environment_names_every_option() -> None:
    """An empty variable is none, and others are not looked at."""
    environ = {"UPLOADER_PART_SIZE": "8M", "UPLOADER_MAX_ATTEMPTS": "", "UPLOADER_SPOOL": "/x"}
    assert from_environment(environ) == {"part_size": "8M"}


def test_a_spool_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else in the user's state directory, one for each destination."""
    monkeypatch.setenv("UPLOADER_SPOOL", "/named")
    assert default_spool("file:///a") == Path("/named")
    monkeypatch.delenv("UPLOADER_SPOOL")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_spool("file:///a").parent == Path("/state/uploader")
    assert default_spool("file:///a") == default_spool("file:///a") != default_spool("file:///b")
