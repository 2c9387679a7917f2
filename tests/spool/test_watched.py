"""What a spool knows of watched files: with the upload, or not at all; and the way to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.place import Place
from uploader import Spool, SpoolFullError
from uploader.spool import schema, staging
from uploader.spool.items import Logged
from uploader.spool.watched import KEEP_ELSEWHERE, KEEP_GONE, KnownFileError
from uploader.state import State

VERSION_1 = Path(__file__).with_name("version_1.sql")  #: dumped from a spool that version 1 made


def take(place: Place, path: Path, mark: str, *, overwrite: bool = False, name: str = "") -> str:
    """Spool a file as a watch does."""
    key = os.fsencode(path)
    logged = Logged(
        name or path.name, overwrite, "", 0, partial(place.spool.watched.note, key, mark)
    )
    source = staging.open_source(str(path))
    try:
        return place.spool.put_source(logged, source)
    finally:
        source.close()


def knows(place: Place, path: Path) -> str | None:
    """Return the mark that a file is known by."""
    found = place.spool.watched.known([os.fsencode(path)])
    return found[os.fsencode(path)].mark if found else None


def blobs(place: Place) -> list[Path]:
    """Return the payloads in the spool, and what is left of copies."""
    found = [*place.spool.layout.blobs.rglob("*"), *place.spool.layout.staging.iterdir()]
    return [path for path in found if path.is_file()]


def test_a_file_is_known_with_its_upload(place: Place, source: Path) -> None:
    """By what it looked like, and which upload it became."""
    upload_id = take(place, source, "1:7:1")
    known = place.spool.watched.known([os.fsencode(source), b"/another"])
    assert known == {os.fsencode(source): ("1:7:1", upload_id)}


def test_one_version_is_spooled_once_whoever_tries(place: Place, source: Path) -> None:
    """Two processes that found it at the same time: the second leaves nothing behind."""
    take(place, source, "1:7:1", overwrite=True)
    other = Place(place.folder)
    with pytest.raises(KnownFileError):
        take(other, source, "1:7:1", overwrite=True)
    other.spool.close()
    assert len(place.spool.uploads()) == len(blobs(place)) == 1


def test_a_put_that_is_refused_leaves_nothing_known(place: Place, source: Path) -> None:
    """Neither of a name that is pending, nor in a spool that is full."""
    place.put("taken", "content")
    with pytest.raises(FileExistsError):
        take(place, source, "1:7:1", name="taken")
    place.spool.close()
    with Spool(place.spool.path, max_bytes=3) as spool:
        place.spool = spool
        with pytest.raises(SpoolFullError):
            take(place, source, "1:7:1")
        assert knows(place, source) is None


def test_what_fails_after_the_note_is_undone_with_it(
    place: Place, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses the put itself, as when another rank was first."""
    monkeypatch.setattr(place.spool, "_refuse_pending", lambda *_, **__: None)
    place.put("taken", "content")
    with pytest.raises(FileExistsError):
        take(place, source, "1:7:1", name="taken")
    assert knows(place, source) is None
    assert len(blobs(place)) == 1


def test_a_new_version_takes_the_place_of_the_known_one(place: Place, source: Path) -> None:
    """And one whose content did not change is only known by another mark."""
    take(place, source, "1:7:1", overwrite=True)
    take(place, source, "1:7:2", overwrite=True)
    assert knows(place, source) == "1:7:2"
    place.spool.watched.remark(os.fsencode(source), "1:7:3")
    assert knows(place, source) == "1:7:3"
    assert [one.state for one in place.spool.uploads()] == [State.SUPERSEDED, State.READY]


def test_a_pointer_file_is_known_too(place: Place, source: Path) -> None:
    """Its artifact is a symlink; it goes the same way."""
    source.write_text("ckpt/ep1.pt")
    take(place, source, "1:11:1", name="latest.symlink")
    assert place.spool.uploads()[0].target == "ckpt/ep1.pt"
    assert knows(place, source) == "1:11:1"


def test_a_path_need_not_be_text(place: Place, source: Path) -> None:
    """File names are bytes."""
    odd = Path(os.fsdecode(os.fsencode(source) + b"\xff"))
    source.rename(odd)
    take(place, odd, "1:7:1", name="plain")
    assert knows(place, odd) == "1:7:1"


def test_files_that_are_gone_are_forgotten_in_time(place: Place, tmp_path: Path) -> None:
    """After a day; one that is back by then is as known as it was."""
    watched = tmp_path / "watched"
    watched.mkdir()
    kept, gone, back = (watched / name for name in ("kept", "gone", "back"))
    for path in (kept, gone, back):
        path.touch()
        take(place, path, "m")
    gone.unlink()
    back.unlink()
    forget = partial(place.spool.watched.forget, os.fsencode(watched))
    assert forget(1000) == 0
    back.touch()
    assert forget(1000 + KEEP_GONE) == 0
    assert forget(1001 + KEEP_GONE) == 1
    assert [knows(place, path) for path in (kept, gone, back)] == ["m", None, "m"]


def test_a_directory_that_is_not_mounted_makes_nobody_forget(place: Place, tmp_path: Path) -> None:
    """It is empty, or not there; when it is back, nothing is spooled again."""
    watched = tmp_path / "watched"
    watched.mkdir()
    path = watched / "file"
    path.touch()
    take(place, path, "m")
    path.unlink()
    for _ in range(2):
        place.spool.watched.forget(os.fsencode(watched), 1000)
        place.spool.watched.forget(os.fsencode(watched), 2000 + KEEP_ELSEWHERE)
        shutil.rmtree(watched, ignore_errors=True)
    assert knows(place, path) == "m"


def test_two_watches_of_one_spool_do_not_forget_for_each_other(
    place: Place, tmp_path: Path
) -> None:
    """What one of them missed in the other's directory may only be what is not mounted."""
    watched, other = tmp_path / "watched", tmp_path / "other"
    for directory in (watched, other):
        directory.mkdir()
        (directory / "file").touch()
    take(place, watched / "file", "m")
    (watched / "file").unlink()
    place.spool.watched.forget(os.fsencode(other), 1000)
    assert place.spool.watched.forget(os.fsencode(watched), 2000 + KEEP_GONE) == 0
    assert knows(place, watched / "file") == "m"
    (watched / "another").touch()
    assert place.spool.watched.forget(os.fsencode(watched), 2000 + KEEP_GONE) == 1


def test_a_directory_that_nobody_watches_is_remembered_for_longer(
    place: Place, tmp_path: Path
) -> None:
    """Nobody can tell whether it will be back; but a new one for each run must not add up."""
    path, watched = tmp_path / "run-1", tmp_path / "run-12"
    watched.mkdir()
    (watched / "file").touch()
    path.touch()
    take(place, path, "m")
    path.unlink()
    forget = partial(place.spool.watched.forget, os.fsencode(watched))
    assert [forget(at) for at in (1000, 2000 + KEEP_GONE, 2000 + KEEP_ELSEWHERE)] == [0, 0, 1]


# -- versions of the spool -----------------------------------------------------------------------


def version_1(place: Place) -> None:
    """Put what version 1 made in the place of the spool's database."""
    place.spool.close()
    for path in place.spool.path.glob("spool.db*"):
        path.unlink()
    with closing(sqlite3.connect(place.spool.layout.database)) as database:
        database.executescript(VERSION_1.read_text())
    place.spool = Spool(place.spool.path, producer=False)


def shape_of(place: Place) -> set[tuple[str, ...]]:
    """Return all tables, indexes and triggers, with what they are made of."""
    rows = place.spool._journal.rows("SELECT type, name, sql FROM sqlite_master")
    return {tuple(str(value) for value in row) for row in rows}


def test_a_spool_of_version_1_becomes_one_of_this_version(place: Place, source: Path) -> None:
    """Nothing in it is lost or changed, all goes on, and it has the shape of one that is new."""
    new = shape_of(place)
    version_1(place)
    assert shape_of(place) == new
    states = {
        one.name: one.state.value for one in place.spool.uploads() if one.state != "superseded"
    }
    assert states == {
        "ckpt/ep1.pt": "done",
        "ckpt/ep2.pt": "dead",
        "hot": "ready",
        "given/up": "cancelled",
        "ckpt/latest": "ready",
        "big": "active",
    }
    assert [part.number for part in place.spool.ledger.parts(7)] == [1]
    take(place, source, "m")
    place.spool.close()
    place.spool = Spool(place.spool.path, producer=False)
    assert knows(place, source) == "m"
    assert place.spool._journal.rows("PRAGMA user_version") == [(schema.VERSION,)]
    assert place.spool._journal.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_migration_that_is_cut_short_is_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a step or nothing of it: no spool is between two versions."""
    new = shape_of(place)
    monkeypatch.setitem(schema.MIGRATIONS, 1, "schema.sql")  # its tables are there: it must fail
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        version_1(place)
    with closing(sqlite3.connect(place.spool.layout.database)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    monkeypatch.undo()
    place.spool = Spool(place.spool.path, producer=False)
    assert shape_of(place) == new
