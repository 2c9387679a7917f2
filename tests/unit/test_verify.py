"""Verifying: what the destination holds against what was uploaded, in every form of symlink."""

from __future__ import annotations

import pathlib

import pytest

from tests.place import Place
from uploader.errors import ErrorClass, TransientError
from uploader.model import SymlinkMode
from uploader.readback import verify
from uploader.readback.verify import verify_spool


def problems(place: Place, *, deep: bool = False) -> dict[str, str]:
    """Return the kind of problem of each artifact that has one."""
    found = verify_spool(place.spool, place.store, deep=deep)
    assert len({one.name for one in found.problems}) == len(found.problems)
    return {one.name: one.problem for one in found.problems}


def linked(folder: pathlib.Path, form: SymlinkMode) -> Place:
    """Make a place with two artifacts and a symlink that arrived."""
    place = Place(folder, form)
    for upload in (place.put("ep1", "1"), place.put("ep2", "2"), place.link("ep2", "a/latest")):
        place.arrive(upload)
    return place


@pytest.mark.parametrize("form", list(SymlinkMode))
@pytest.mark.parametrize("deep", [False, True])
def test_what_arrived_is_as_it_should_be(
    tmp_path: pathlib.Path, form: SymlinkMode, deep: bool
) -> None:
    """Files, and a symlink of every form."""
    place = linked(tmp_path, form)
    assert verify_spool(place.spool, place.store, deep=deep).checked == 3
    assert problems(place, deep=deep) == {}
    place.spool.close()


@pytest.mark.parametrize("form", list(SymlinkMode))
def test_a_symlink_that_is_gone_is_missing(tmp_path: pathlib.Path, form: SymlinkMode) -> None:
    """Whatever form it had."""
    place = linked(tmp_path, form)
    for leaf in (place.remote / "a").iterdir():
        leaf.unlink()
    assert problems(place) == {"a/latest": "missing"}
    place.spool.close()


@pytest.mark.parametrize("form", [SymlinkMode.NATIVE, SymlinkMode.POINTER])
def test_a_symlink_to_nothing_is_a_problem_of_its_own(
    tmp_path: pathlib.Path, form: SymlinkMode
) -> None:
    """Beside the missing target, since either may be what a person looks for."""
    place = linked(tmp_path, form)
    (place.remote / "ep2").unlink()
    assert problems(place) == {"ep2": "missing", "a/latest": "target"}
    place.spool.close()


@pytest.mark.parametrize(
    ("text", "problem"), [("ep1", "target"), ("../x", "unreadable"), ("\n", "unreadable")]
)
def test_a_pointer_with_another_text_is_a_problem(
    tmp_path: pathlib.Path, text: str, problem: str
) -> None:
    """To another artifact, or to what is no name at all."""
    place = linked(tmp_path, SymlinkMode.POINTER)
    (place.remote / "a/latest.symlink").write_text(text)
    assert problems(place) == {"a/latest": problem}
    place.spool.close()


def test_a_copy_is_compared_by_its_own_checksum(tmp_path: pathlib.Path) -> None:
    """The spool knows none of a symlink; the store wrote the copy's."""
    place = linked(tmp_path, SymlinkMode.COPY)
    (place.remote / "a/latest").write_text("x")
    assert problems(place) == {}
    assert problems(place, deep=True) == {"a/latest": "checksum"}
    place.spool.close()


def test_the_newest_that_arrived_is_what_is_expected(tmp_path: pathlib.Path) -> None:
    """Older versions are replaced; what waits or is dead claims nothing."""
    place = Place(tmp_path)
    place.arrive(place.put("one", "first"))
    place.arrive(place.put("one", "second", overwrite=True))
    place.put("one", "third", overwrite=True)
    place.die(place.put("two", "2"), ErrorClass.PERMANENT)
    assert verify_spool(place.spool, place.store, deep=True).checked == 1
    assert problems(place, deep=True) == {}
    place.stranger("one", b"second")
    assert problems(place) == {"one": "replaced"}
    place.spool.close()


def test_a_directory_in_the_place_of_an_object_is_unreadable(tmp_path: pathlib.Path) -> None:
    """It is told of that artifact, and the others are still looked at."""
    place = linked(tmp_path, SymlinkMode.POINTER)
    (place.remote / "ep1").unlink()
    (place.remote / "ep1").mkdir()
    assert problems(place) == {"ep1": "unreadable"}
    place.spool.close()


def test_a_store_that_fails_for_now_is_no_finding(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To call an artifact missing because nobody answered would be a lie."""
    place = linked(tmp_path, SymlinkMode.NATIVE)
    place.remote.rename(tmp_path / "unmounted")
    monkeypatch.setattr(verify, "try_in_step", lambda request: request())
    with pytest.raises(TransientError):
        problems(place)
    place.spool.close()
