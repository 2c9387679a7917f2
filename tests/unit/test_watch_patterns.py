"""Which files a watch means."""

from __future__ import annotations

import pytest

from uploader.watch.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.pt", "a.pt", True),
        ("*.pt", "deep/er/a.pt", True),
        ("*.pt", "a.ptx", False),
        ("*.pt", "A.PT", False),
        ("ckpt/*.pt", "ckpt/a.pt", True),
        ("ckpt/*.pt", "a.pt", False),
        ("ckpt/*.pt", "ckpt/deep/a.pt", False),
        ("ckpt/*.pt", "run/ckpt/a.pt", False),
        ("ckpt/**/*.pt", "ckpt/a.pt", True),
        ("ckpt/**/*.pt", "ckpt/deep/er/a.pt", True),
        ("ckpt/**", "ckpt/deep/a", True),
        ("**/ckpt/*.pt", "run/7/ckpt/a.pt", True),
        ("./ckpt/*", "ckpt/a", True),
        ("ep[0-9].pt", "ep7.pt", True),
        ("*", ".hidden", False),
        ("*", "a~", False),
        ("*", "a.tmp", False),
        ("*", "a.pt.part", False),
        ("*.pt", ".git/a.pt", False),
        ("*.pt", "tmp-checkpoint-500/a.pt", False),
        ("*.pt", "5.orbax-checkpoint-tmp-17/a.pt", False),
        ("*.pt", ".a.pt", False),
        ("**", "x/.y/z", False),
        (".*", ".hidden", True),
        ("*.part", "a.part", True),
        ("a.tmp", "deep/a.tmp", True),
        (".cache/*.pt", ".cache/a.pt", True),
        ("*.part", ".hidden.part", False),
    ],
)
def test_a_pattern_means_what_a_shell_user_expects(pattern: str, path: str, fits: bool) -> None:
    """Names at any depth, paths below the directory; hidden and temporary names by name only."""
    assert Patterns.of([pattern]).fit(path) is fits


@pytest.mark.parametrize(
    ("excluded", "path", "fits"),
    [
        ("optimizer*", "ckpt/optimizer.pt", False),
        ("optimizer*", "optimizers/deep/a.pt", False),
        ("ckpt/old", "ckpt/old/a.pt", False),
        ("ckpt/old", "ckpt/new/a.pt", True),
        ("*.pt", "a.bin", True),
    ],
)
def test_what_is_excluded_is_so_with_all_that_is_in_it(
    excluded: str, path: str, fits: bool
) -> None:
    """A file, or a directory, by its name or by its path."""
    assert Patterns.of([], [excluded]).fit(path) is fits


def test_without_patterns_all_but_hidden_and_temporary_files_are_meant() -> None:
    """And with two, what fits either."""
    assert Patterns.of([]).fit("x/y")
    assert not Patterns.of([]).fit("x/.y")
    both = Patterns.of(["*.pt", "*.json"])
    assert both.fit("a.pt")
    assert both.fit("a.json")
    assert not both.fit("a.txt")


@pytest.mark.parametrize(
    ("pattern", "directory", "entered"),
    [
        ("*.pt", "any/where", True),
        ("*.pt", ".git", False),
        ("ckpt/*.pt", "ckpt", True),
        ("ckpt/*.pt", "logs", False),
        ("ckpt/*.pt", "ckpt/deep", False),
        ("a/**/b/*.pt", "a/x/y", True),
        (".cache/*", ".cache", True),
    ],
)
def test_only_directories_that_can_hold_such_a_file_are_entered(
    pattern: str, directory: str, entered: bool
) -> None:
    """A scan costs what is looked at."""
    assert Patterns.of([pattern]).may_hold(directory) is entered


@pytest.mark.parametrize("pattern", ["", "/", "../x", "a/../b", "."])
def test_a_pattern_that_nothing_fits_is_refused(pattern: str) -> None:
    """It would watch nothing, without a word."""
    with pytest.raises(ValueError, match="no file below the directory"):
        Patterns.of([pattern])
