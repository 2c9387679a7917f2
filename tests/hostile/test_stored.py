"""Fuzz what is read back from the spool, and the places in which it may stand."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cli.shell import Shell
from tests.hostile.fuzzing import DOCUMENTS, TEXTS, fuzzed
from tests.place import Place
from uploader import Spool
from uploader.checksum import BlockChecksums
from uploader.errors import ErrorClass
from uploader.model import Upload
from uploader.spool.items import checksum_fields
from uploader.spool.rows import _COLUMNS, MAX_ERROR, fault, storable, upload_in
from uploader.state import State

VALUES = st.none() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20)
CONTENT = b"content"


def sound_row() -> dict[str, Any]:
    """Return a row as it is written."""
    return {
        "seq": 1, "id": "0" * 32, "kind": "file", "name": "a/name", "target": None, "overwrite": 0,
        "size": len(CONTENT), "crc32c": _sums()["crc32c"], "source_mtime": 1.5, "run": "",
        "rank": 0,
        "state": "ready", "waiting_on": None, "not_before": 0.0, "attempts": 0,
        "error_class": None, "error": None, "enqueued_at": 1.0, "finished_at": None,
        "session": None, "part_size": None, "receipt": None, "cancel_requested": 0,
    }  # fmt: skip


def sound_item() -> dict[str, Any]:
    """Return the journal's item of the same upload."""
    keys = ("id", "kind", "name", "overwrite", "size", "source_mtime", "run", "rank")
    return {key: sound_row()[key] for key in keys} | _sums()


def _sums() -> dict[str, Any]:
    sums = BlockChecksums(len(CONTENT))
    sums.update(CONTENT)
    return checksum_fields(sums)


def test_a_row_as_it_is_written_has_no_fault() -> None:
    """Else the rest would show nothing; neither has that of a clone, before it was read."""
    upload = upload_in(tuple(sound_row().values()))
    assert fault(upload, sound_item()) is None
    clone = {key: value for key, value in sound_item().items() if key not in _sums()}
    assert fault(replace(upload, crc32c=None), clone) is None


@fuzzed
@given(st.dictionaries(st.sampled_from([*_COLUMNS]), VALUES, max_size=5))
@example({"receipt": "[" * 100_000})
@example({"receipt": '{"etag": 1}'})
@example({"name": "\ud800"})
def test_any_row_is_shown(changed: dict[str, Any]) -> None:
    """Whatever its columns hold: as it is, or as damaged; never an exception."""
    upload = upload_in(tuple({**sound_row(), **changed}.values()))
    assert isinstance(upload, Upload)
    assert isinstance(upload.state, State)
    assert isinstance(upload.name, str)
    assert upload.as_json()["id"] == upload.id
    if upload.error_class is ErrorClass.DAMAGED and "error_class" not in changed:
        assert "is damaged" in str(upload.error)
        assert len(str(upload.error)) < 500


@fuzzed
@given(
    st.dictionaries(st.sampled_from([*sound_item()]), VALUES | DOCUMENTS, min_size=1, max_size=3)
)
@example({"blocks": "A" * 100_000})
@example({"block": 0})
def test_an_item_that_was_changed_is_found(changed: dict[str, Any]) -> None:
    """Every key on which the upload rests stands in the row too, or is held to its form."""
    upload = upload_in(tuple(sound_row().values()))
    before = sound_item()
    item = {**before, **changed}
    found = fault(upload, item)
    rests_on = set(before) - {"source_mtime", "run", "rank"}
    same = all(item[key] == before[key] for key in rests_on)
    assert (found is None) == same
    assert found is None or len(found) < 500


@fuzzed
@given(DOCUMENTS)
def test_an_item_that_is_none_is_found(item: Any) -> None:
    """Whatever JSON can hold."""
    assert fault(upload_in(tuple(sound_row().values())), item) is not None


@fuzzed
@given(TEXTS | TEXTS.map(lambda text: text + "\ud800" * MAX_ERROR))
def test_any_error_can_be_stored(text: str) -> None:
    """Paths and services say what is no UTF-8, and do not always come to an end."""
    stored = storable(text)
    assert stored is not None
    assert len(stored.encode()) < 50_000


def test_a_spool_may_stand_in_a_directory_whose_name_is_no_text(tmp_path: Path) -> None:
    """Its path is in the errors of damaged blobs, of which dead letters are made all the same."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    spool = folder / "spool"
    shell = Shell(tmp_path)
    shell.spool_path = spool
    with Spool(spool, shell.url, producer=False) as opened:
        opened.put_file("one", shell.file("one"))
        damaged = opened.put_file("two", shell.file("two"))
        opened.layout.blob(damaged).write_bytes(b"damaged")
    ended = shell.run("drain", "--workers", "1", "--json")
    assert ended.returncode == 3, ended.stderr
    with Spool(spool, producer=False) as opened:
        assert [one.state for one in opened.uploads()] == [State.DONE, State.DEAD]
    assert shell.run("ls").returncode == 0


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5, b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.", b"<x>"]
)
def test_what_is_in_an_artifact_does_not_matter(tmp_path: Path, content: bytes) -> None:
    """It is bytes, and comes out as it went in: no pickle, no markup in it is looked at."""
    place = Place(tmp_path)
    upload = place.put("name.pkl", content)
    place.arrive(upload)
    assert (place.remote / "name.pkl").read_bytes() == content
    place.spool.close()
