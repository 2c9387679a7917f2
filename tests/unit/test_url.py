"""Hold how destination URLs are read and spelled."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.url import parse


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("file:///mnt/artifacts", "file:///mnt/artifacts"),
        ("file://localhost/mnt/artifacts/", "file:///mnt/artifacts"),
        ("file:///mnt//a/../b/./c", "file:///mnt/b/c"),
        ("file:///with%20space/ü", "file:///with%20space/%C3%BC"),
        ("/mnt/artifacts", "file:///mnt/artifacts"),
        ("/odd?name#here", "file:///odd%3Fname%23here"),
    ],
)
def test_a_destination_has_one_spelling(url: str, spelled: str) -> None:
    """It is stored and compared in that one, which reads back as itself."""
    assert str(parse(url)) == spelled
    assert str(parse(spelled)) == spelled


def test_a_relative_path_is_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs in another directory."""
    monkeypatch.chdir("/")
    assert parse("some/where").path == "/some/where"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_comes_back_from_its_url(name: str) -> None:
    """Whatever characters it has."""
    path = os.path.normpath(f"/root/{name}")
    if not path.startswith("//"):
        assert parse(f"file://{quote(path)}").path == path


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (None, "is empty"),
        ("s4://bucket/prefix", "unknown destination .*file://"),
        ("file://host/path", "three slashes"),
        ("file://relative", "three slashes"),
        ("file:///a%00b", "NUL"),
        ("/a\0b", "NUL"),
        ("file:///mnt/run?1", "%3F"),
        ("file:///mnt/run#1", "%23"),
    ],
)
def test_a_bad_destination_is_refused(url: str, says: str) -> None:
    """With what is wrong, rather than with another directory."""
    with pytest.raises(ValueError, match=says):
        parse(url)
