"""A watch never leaves its directory, whatever is put there between a look and an opening."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from uploader.watch.patterns import Patterns
from uploader.watch.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A directory with a file two directories deep, and something outside that nobody may read."""
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/file").write_text("inside")
    (tmp_path / "out/b").mkdir(parents=True)
    (tmp_path / "out/file").write_text("secret")
    (tmp_path / "out/b/file").write_text("secret")
    return Tree(str(tmp_path / "root"), Patterns.of([]))


def found(tree: Tree) -> list[str]:
    """Return the paths that a scan finds."""
    return sorted(path for path, _ in tree.files())


def replace(path: Path, target: Path) -> None:
    """Put a symlink in a path's place."""
    path.rename(path.with_name("before"))
    path.symlink_to(target)


SWAPS: dict[str, Callable[[Path], None]] = {
    "file": lambda base: replace(base / "root/a/b/file", base / "out/file"),
    "directory": lambda base: replace(base / "root/a/b", base / "out"),
    "directory-above": lambda base: replace(base / "root/a", base / "out"),
    "root": lambda base: replace(base / "root", base / "out"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_symlink_that_takes_a_place_on_the_way_is_not_followed(
    tree: Tree, tmp_path: Path, swap: str
) -> None:
    """The file itself, or any directory that leads to it."""
    os.close(tree.open("a/b/file"))
    SWAPS[swap](tmp_path)
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        tree.open("a/b/file")


def test_neither_a_scan_nor_a_hint_leads_to_where_a_symlink_points(
    tree: Tree, tmp_path: Path
) -> None:
    """What is found is inside, by its real path."""
    (tmp_path / "root/link").symlink_to("a/b/file")
    (tmp_path / "root/way").symlink_to(tmp_path / "out")
    assert found(tree) == ["a/b/file"]
    assert list(tree.look("link")) == list(tree.look("way")) == list(tree.look("nothing")) == []
    assert [path for path, _ in tree.look("a")] == ["a/b/file"]


def test_what_is_kept_apart_is_not_found_by_a_hint_either(tmp_path: Path) -> None:
    """Nor is what is in it; what only begins alike is."""
    for path in ("root/spool/blobs/x", "root/spool-2/x"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    tree = Tree(str(tmp_path / "root"), Patterns.of([]), [str(tmp_path / "root/spool")])
    assert found(tree) == ["spool-2/x"]
    assert list(tree.look("spool/blobs/x")) == list(tree.look("spool/blobs")) == []
    assert [path for path, _ in tree.look("spool-2")] == ["spool-2/x"]


def test_a_directory_that_is_made_later_may_be_a_symlink(tmp_path: Path) -> None:
    """The user named it: it is followed, once, when it is there."""
    tree = Tree(str(tmp_path / "later"), Patterns.of([]))
    assert tree.identity() is None
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").touch()
    (tmp_path / "later").symlink_to("real")
    assert tree.identity() is not None
    assert found(tree) == ["file"]
    assert tree.relative(f"{tmp_path}/real/file") == "file"
    assert tree.relative(f"{tmp_path}/realistic") is None


def test_a_name_is_shown_on_one_line(tree: Tree) -> None:
    """Whatever is in it."""
    assert tree.shown("a\nb\udcff") == f"{tree.root}/a\\nb\\udcff"
