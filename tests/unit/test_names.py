"""Hold the rules for artifact names and symlinks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_input import BAD_NAMES, GOOD_NAMES, shown
from uploader.model import check_link, check_name


@pytest.mark.parametrize("name", BAD_NAMES, ids=shown)
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    """And with the name, so that it can be found."""
    with pytest.raises(ValueError, match="bad artifact name") as raised:
        check_name(name)
    assert BAD_NAMES[name] in str(raised.value)


@pytest.mark.parametrize("name", GOOD_NAMES, ids=shown)
def test_a_good_name_is_left_as_it_is(name: str) -> None:
    """Odd is not bad."""
    assert check_name(name) == name


def test_a_leading_slash_is_taken_off() -> None:
    """As Composer does, before the rules are applied."""
    assert check_name("/a/b") == "a/b"
    assert check_name("//a") == "a"


@pytest.mark.parametrize("name", [None, b"bytes", 3])
def test_a_name_is_a_str(name: Any) -> None:
    """The message says what it was."""
    with pytest.raises(TypeError, match=f"must be a str, not {type(name).__name__}"):
        check_name(name)


@given(st.text())
def test_a_name_that_passes_is_safe(name: str) -> None:
    """Whatever the text: refused, or relative, within limits, and passing again unchanged."""
    try:
        checked = check_name(name)
    except ValueError:
        return
    assert not checked.startswith("/")
    assert 0 < len(checked.encode()) <= 1024
    assert not {"", ".", ".."} & set(checked.split("/"))
    assert check_name(checked) == checked


def test_a_symlink_has_two_good_names() -> None:
    """Both are checked, and both lose a leading slash."""
    assert check_link("/target", "/link") == ("target", "link")
    for pair in (("", "link"), ("target", "a/../b")):
        with pytest.raises(ValueError, match="bad artifact name"):
            check_link(*pair)


def test_a_symlink_to_itself_is_refused() -> None:
    """Also where a slash hides it."""
    with pytest.raises(ValueError, match="cannot point to itself"):
        check_link("/name", "name")


def test_the_suffix_of_pointers_is_not_part_of_a_symlinks_name() -> None:
    """It is added by the store that needs it; twice would be a name nobody reads."""
    with pytest.raises(ValueError, match=r"leave out '\.symlink'"):
        check_link("target", "latest.symlink")
