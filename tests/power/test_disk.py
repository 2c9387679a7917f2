"""Holds the model of the disk to its rules, by traces that are written by hand."""

from __future__ import annotations

import pytest

from tests.power.disk import Moment, moments
from tests.power.states import State, picks, pieces, states
from tests.power.tracing import Deed, Kind, read

BASE = "/disk"
DEEDS = [
    Deed(Kind.MKDIR, f"{BASE}/a", "", 0, 0, b""),
    Deed(Kind.CREATE, f"{BASE}/a/new", "", 7, 0, b""),
    Deed(Kind.WRITE, f"{BASE}/a/new", "", 7, 0, b"x" * 1000),
]
SYNC_FILE = Deed(Kind.SYNC, f"{BASE}/a/new", "", 7, 0, b"")
SYNC_INNER = Deed(Kind.SYNC, f"{BASE}/a", "", 1, 0, b"")
SYNC_OUTER = Deed(Kind.SYNC, BASE, "", 2, 0, b"")
RENAME = Deed(Kind.RENAME, f"{BASE}/a/new", f"{BASE}/name", 7, 0, b"")


def last(*deeds: Deed) -> Moment:
    """Return what is known after all of some calls."""
    return list(moments([*DEEDS, *deeds], BASE, []))[-1]


def possible(*deeds: Deed) -> list[State]:
    """Return the states after a power loss at the end of some calls."""
    return list(states(last(*deeds), seed=1))


def test_before_any_fsync_all_may_be_lost_or_kept() -> None:
    """Directory, name, and bytes, each without the others."""
    found = possible()
    assert State(frozenset([BASE]), {}, {}, {}).digest in {one.digest for one in found}
    contents = {one.files.get(f"{BASE}/a/new") for one in found}
    assert {None, b"", b"x" * 1000, b"x" * 512, bytes(512) + b"x" * 488, bytes(1000)} <= contents


def test_an_fsync_of_a_file_says_nothing_of_its_name() -> None:
    """The bytes are certain where the name is there; the name is not."""
    contents = {one.files.get(f"{BASE}/a/new") for one in possible(SYNC_FILE)}
    assert contents == {None, b"x" * 1000}


def test_a_name_is_lost_with_the_directory_above_it() -> None:
    """Though its own directory was fsynced."""
    found = possible(SYNC_FILE, SYNC_INNER)
    assert {f"{BASE}/a" in one.directories for one in found} == {True, False}
    assert all((f"{BASE}/a/new" in one.files) == (f"{BASE}/a" in one.directories) for one in found)
    assert len({one.digest for one in possible(SYNC_FILE, SYNC_INNER, SYNC_OUTER)}) == 1


def test_a_rename_is_never_done_by_half() -> None:
    """The file has its old name or its new one; with an fsync of either directory the new one."""
    certain = [SYNC_FILE, SYNC_INNER, SYNC_OUTER]
    names = {tuple(one.files) for one in possible(*certain, RENAME)}
    assert names == {(f"{BASE}/a/new",), (f"{BASE}/name",)}
    assert {tuple(one.files) for one in possible(*certain, RENAME, SYNC_INNER)} == {
        (f"{BASE}/name",)
    }


def test_what_was_renamed_durably_does_not_come_back_under_its_old_name() -> None:
    """Though the directory of the old name, in which it was made, was never fsynced."""
    found = possible(SYNC_FILE, RENAME, SYNC_OUTER)
    assert {tuple(one.files) for one in found} == {(f"{BASE}/name",)}


def test_a_write_is_torn_at_sectors() -> None:
    """Wherever it began."""
    moment = last(Deed(Kind.WRITE, f"{BASE}/a/new", "", 7, 700, b"y" * 1000))
    (file,) = moment.files.values()
    assert [(one.offset, len(one.data)) for one in pieces(file)] == [
        (0, 512), (512, 488), (700, 324), (1024, 512), (1536, 164),
    ]  # fmt: skip


def test_an_fsync_can_be_left_out() -> None:
    """Then it makes nothing certain."""
    *_, moment = moments([*DEEDS, SYNC_FILE], BASE, [], without="sqlite a/new")
    (file,) = moment.files.values()
    assert file.certain == b""


def test_choices_are_the_same_each_time() -> None:
    """So that a state that was found wrong is found again."""
    assert list(picks(last(), seed=5)) == list(picks(last(), seed=5))


def test_a_change_that_the_model_does_not_know_is_refused() -> None:
    """Instead of being taken for none."""
    header = b"".join(
        number.to_bytes(size, "little")
        for number, size in [(Kind.UNKNOWN, 4), (1, 4), (5, 4), (0, 4), (0, 8), (0, 8), (0, 8)]
    )
    with pytest.raises(ValueError, match="mmap"):
        list(read(header + b"xmmap, "[:6]))
