"""What a watched file is called at the destination."""

from __future__ import annotations

import pytest

from uploader.watch.naming import Naming


def test_every_placeholder_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the path, of the run, and of the process by what its launcher says."""
    monkeypatch.setenv("NODE_RANK", "3")
    naming = Naming(
        "{run_name}/{dir}-{stem}{suffix}/{rank:02d}.{node_rank}/{path}", run="r", rank=7
    )
    assert naming.of("deep/er/ep1.tar.gz") == "r/deep/er-ep1.tar.gz/07.3/deep/er/ep1.tar.gz"


def test_braces_of_file_names_are_not_filled_again() -> None:
    """What came in is no template."""
    assert Naming("{{x}}/{path}", run="", rank=0).of("{rank}/{y}") == "{x}/{rank}/{y}"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{epoch}/{path}", "{epoch} is not a placeholder here; there are {path}"),
        ("{}/{path}", "is not a placeholder"),
        ("{path.__class__}", "is not a placeholder"),
        ("{path[0]}", "is not a placeholder"),
        ("{path", "cannot be filled"),
        ("path}", "cannot be filled"),
        ("{rank:x y}/{path}", "cannot be filled"),
        ("{run_name}/{path}", "say --run NAME"),
        ("latest.pt", "every file would have the name"),
        ("{rank}", "every file would have the name"),
    ],
)
def test_a_bad_template_is_told_at_once(template: str, words: str) -> None:
    """Not at the first file, hours later; it says what there is."""
    with pytest.raises(ValueError, match=words):
        Naming(template, run="", rank=0)


def test_a_launcher_that_says_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be in every name."""
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ValueError, match="LOCAL_RANK must be a whole number"):
        Naming("{local_rank}/{path}", run="", rank=0)
