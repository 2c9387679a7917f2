"""Hold the spool to its promises among processes: ranks at once, and children of a fork."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.place import Place
from tests.spool import actors
from uploader import Spool


@pytest.mark.timeout(120)  # eight interpreters, on a busy machine
def test_eight_processes_may_open_a_fresh_path_at_once(tmp_path: Path, source: Path) -> None:
    """Ten times: each opens it, one makes it, and what each puts is there."""
    with actors.ranks(8) as all_do:
        for number in range(10):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "source").write_bytes(source.read_bytes())
            assert all_do(actors.open_spool, folder) == ["ok"] * 8
            with Spool(folder / "spool") as spool:
                assert sorted(one.name for one in spool.uploads()) == [
                    f"rank-{rank}" for rank in range(8)
                ]


@pytest.mark.timeout(120)  # starts interpreters, on a busy machine
def test_of_two_processes_that_put_a_name_without_overwrite_one_is_refused(place: Place) -> None:
    """Every time; and so it is with the last room in the spool."""
    (place.folder / "source").write_bytes(b"content")
    with actors.ranks(2) as all_do:
        for number in range(10):
            outcome = all_do(actors.put, place.folder, f"name-{number}")
            assert outcome == ["FileExistsError", "ok"]
        held = sum(upload.size or 0 for upload in place.spool.uploads())
        Spool(place.spool.path, max_bytes=held + 10).close()
        for number in range(10):
            outcome = all_do(actors.put, place.folder, f"{number}-{{rank}}")
            assert outcome == ["SpoolFullError", "ok"]
            place.spool.cancel(
                *(
                    one.id
                    for one in place.spool.uploads(name_glob=f"{number}-*")
                    if one.state.value == "ready"
                )
            )
    assert len(list(place.spool.layout.blobs.glob("*/*"))) == 10


def test_a_forked_child_may_put_through_an_inherited_spool(tmp_path: Path, source: Path) -> None:
    """A hundred artifacts, half of them after the parent has closed: none is lost."""
    spool = Spool(tmp_path / "spool", "file:///nowhere")
    spool.put_file("before", source)
    closed, close = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(100):
                if number == 50:
                    os.read(closed, 1)
                spool.put_file(f"child-{number}", source)
            status = 0
        finally:
            os._exit(status)
    for number in range(100):
        spool.put_file(f"parent-{number}", source)
    # The last to close makes an end of the log. A child without a handle of its own would go on
    # writing to a log that has no name any more.
    spool.close()
    os.write(close, b"x")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    for descriptor in (closed, close):
        os.close(descriptor)
    with Spool(tmp_path / "spool") as spool:
        names = {upload.name for upload in spool.uploads()}
        assert spool._journal.rows("PRAGMA integrity_check") == [("ok",)]
    assert names == {"before"} | {f"{who}-{n}" for who in ("child", "parent") for n in range(100)}


def test_a_child_that_ends_takes_nothing_from_its_parent(place: Place, source: Path) -> None:
    """Neither the log of what was committed, nor the parent's hold on the agent."""
    spool = Spool(place.spool.path)
    spool.put_file("before", source)
    child = os.fork()
    if child == 0:
        spool.close()
        os._exit(0)
    os.waitpid(child, 0)
    spool.put_file("after", source)
    spool.close()
    code = f"import uploader; print(len(uploader.Spool({str(place.spool.path)!r}).uploads()))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "2"


# -- transactions ---------------------------------------------------------------------------------


REMEMBER = "INSERT INTO spool (key, value) VALUES (?, ?)"


def remembered(place: Place, key: str) -> list[Any]:
    """Return what the database has under a key."""
    return place.spool._journal.rows("SELECT value FROM spool WHERE key = ?", (key,))


def test_a_put_whose_item_cannot_be_written_leaves_nothing_pending(place: Place) -> None:
    """Inside a transaction of ours or outside: nothing is committed, and nobody is locked out."""
    journal = place.spool._journal
    unwritable: dict[str, Any] = {"id": object()}

    def fail_together() -> None:
        with journal.transaction():
            journal.execute(REMEMBER, ("half", "done"))
            journal.put(unwritable)

    with pytest.raises(TypeError):
        fail_together()
    with pytest.raises(TypeError):
        journal.put(unwritable)
    assert remembered(place, "half") == []
    with Spool(place.spool.path, producer=False) as other:
        other._journal.connection.execute("PRAGMA busy_timeout = 0")
        other.put_symlink("a", "b")
    place.put("name", "x")


def test_a_refused_statement_locks_nobody_out(place: Place) -> None:
    """SQLite begins a transaction before it refuses; it must not stay open."""
    with pytest.raises(sqlite3.IntegrityError):
        place.spool._journal.execute(REMEMBER, ("key", None))
    with Spool(place.spool.path, producer=False) as other:
        other._journal.connection.execute("PRAGMA busy_timeout = 0")
        other._journal.execute(REMEMBER, ("key", "value"))
    assert remembered(place, "key") == [("value",)]


def test_moves_made_together_are_undone_together(place: Place) -> None:
    """A supervisor that fails half way has recorded nothing."""
    upload_id = place.put("name", "x")

    def fail_half_way() -> None:
        with place.spool.ledger.together():
            place.spool.ledger.start_all([place.spool.upload(upload_id)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert place.spool.upload(upload_id).state.value == "ready"


def test_every_commit_is_on_the_disk(place: Place) -> None:
    """The library leaves that to SQLite's build; here it is set."""
    journal = place.spool._journal
    assert journal.rows("PRAGMA synchronous") == [(2,)]  # FULL
    assert journal.rows("PRAGMA journal_mode") == [("wal",)]


def test_a_process_forked_from_c_is_told_instead_of_losing_rows(place: Place, source: Path) -> None:
    """Python cannot close the handle before such a fork, and one beside it would take no locks."""
    code = f"""
import ctypes, os
from uploader import Spool, SpoolError
spool = Spool({str(place.spool.path)!r})
child = ctypes.CDLL(None).fork()
if child == 0:
    try:
        spool.put_file("child", {str(source)!r})
    except SpoolError as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(0)
spool.put_file("parent", {str(source)!r})
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "7", seen.stderr
    assert [upload.name for upload in place.spool.uploads()] == ["parent"]
