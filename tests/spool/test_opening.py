"""Hold what may be opened as a spool, by whom, and with which modes it is made."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.place import Place
from uploader import NotASpoolError, Spool, SpoolError
from uploader.spool.layout import Layout, file_system_of

URL = "file:///nowhere"


@pytest.fixture
def umask() -> Iterator[None]:
    """Put the umask back."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_nobody_else_can_read_a_spool_and_its_owner_always_can(tmp_path: Path, mask: int) -> None:
    """Whatever the umask takes or leaves."""
    source = tmp_path / "source"
    source.write_text("content")
    os.umask(mask)
    with Spool(tmp_path / "spool", URL) as spool:
        spool.put_file("name", source)
        modes = {
            path.relative_to(spool.path): stat.S_IMODE(path.lstat().st_mode)
            for path in (spool.path, *spool.path.rglob("*"))
        }
    for path, mode in modes.items():
        expected = 0o700 if (tmp_path / "spool" / path).is_dir() else 0o600
        assert mode == expected, (path, oct(mode))


def test_a_spool_of_somebody_else_is_refused(place: Place) -> None:
    """It names both; only root can make one for this test, and only root may open another's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(place.spool.path, 12345, -1)
    for destination in (None, place.spool.destination):
        with pytest.raises(SpoolError, match="belongs to user id 12345, this process runs as 0"):
            Spool(place.spool.path, destination)


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    """A spool is not made among somebody's files."""
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(NotASpoolError, match=r"not empty \('thesis.tex' is there\)"):
        Spool(tmp_path, URL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("pragma", ["application_id = 1196444487", "user_version = 0"])
@pytest.mark.parametrize("destination", [None, URL])
def test_a_database_of_another_program_is_refused(
    tmp_path: Path, destination: str | None, pragma: str
) -> None:
    """Whether it says whose it is or not; its rows stay."""
    path = tmp_path / "spool" / "spool.db"
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.executescript(f"CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA {pragma};")
    other.close()
    with pytest.raises(NotASpoolError, match="not a spool's"):
        Spool(path.parent, destination)
    other = sqlite3.connect(path)
    assert other.execute("SELECT x FROM t").fetchall() == [(1,)]
    other.close()


def test_a_spool_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    """By whoever names a destination; without one there is nothing to open."""
    path = tmp_path / "spool"
    layout = Layout(path)
    layout.make()
    layout.database.touch()
    with pytest.raises(NotASpoolError, match="its making was cut short"):
        Spool(path)
    with Spool(path, URL) as spool:
        assert spool.destination == URL
        assert spool.uploads() == []


def test_opening_again_finds_what_was_remembered(tmp_path: Path) -> None:
    """Destination and options, and what is given anew is put over them."""
    path = tmp_path / "spool"
    with Spool(path, URL, options={"part_size": "8MiB", "max_attempts": 3}) as spool:
        assert spool.options.part_size == 8 << 20
    with Spool(path, options={"max_attempts": 4}) as spool:
        assert spool.destination == URL
    with Spool(path, URL) as spool:
        assert (spool.options.part_size, spool.options.max_attempts) == (8 << 20, 4)


def test_the_file_system_is_told_from_the_mounts(tmp_path: Path) -> None:
    """By the device's number, with any number of optional fields before the separator."""
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:999999 / / rw - ext4 /dev/sda rw\n"
        f"22 1 {number} / /mnt rw,nosuid shared:1 master:2 - nfs4 server:/export rw,vers=4.2\n"
    )
    assert file_system_of(tmp_path, str(mounts)) == "nfs4"
    assert file_system_of(tmp_path, str(tmp_path / "none")) == ""
    mounts.write_text("")
    assert file_system_of(tmp_path, str(mounts)) == ""
