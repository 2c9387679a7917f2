"""Hold every command to what it does about a damaged database: exit code 6, and nothing touched."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.place import Place
from uploader import NotASpoolError, Spool, SpoolDamagedError, SpoolVersionError
from uploader.errors import ErrorClass, SpoolError
from uploader.spool.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096  #: bytes of SQLite's
LENGTHS = (1, 2, 3, 5, 8, 12, 18)  #: pages of nineteen
#: Damages that are tried; more behind the variable, as scripts/soak does.
TRIES = int(os.environ.get("UPLOADER_FUZZ", "1")) * 45


@pytest.fixture(scope="module")
def sound(memory: Path) -> Path:
    """A spool with uploads in every state, closed."""
    (memory / "sound").mkdir()
    place = Place(memory / "sound")
    ids = [place.put(f"name/{number}", f"content {number}") for number in range(9)]
    place.link("name/3", "link")
    place.arrive(ids[0])
    place.die(ids[1], ErrorClass.PERMANENT)
    place.spool.close()
    return place.spool.path


@pytest.fixture
def spool(sound: Path) -> Iterator[Path]:
    """A copy of it."""
    copy = sound.parent / "copy"
    shutil.copytree(sound, copy)
    yield copy
    shutil.rmtree(copy)


def payloads(spool: Path) -> dict[Path, bytes]:
    """Return all blobs."""
    return {path: path.read_bytes() for path in spool.glob("blobs/*/*")}


def use(path: Path) -> None:
    """Do all that a supervisor and a producer do with a database, but for the uploading."""
    with Spool(path, producer=False) as spool:
        spool.status()
        spool.uploads()
        ledger = spool.ledger
        ledger.start_all(ledger.startable(0, 1e12, 3))
        recover(spool.layout, ledger)
        spool.cancel(*[one.id for one in ledger.startable(0, 1e12, 1)])


@pytest.mark.parametrize(
    "length",
    [0, 1, 15, 99, 100, *(pages * PAGE + more for pages in LENGTHS for more in (-1, 0, 1))],
)
def test_a_truncated_database_is_refused(spool: Path, length: int) -> None:
    """Wherever it was cut, also within its header; the bytes of the artifacts stay."""
    database, before = spool / "spool.db", payloads(spool)
    assert length < database.stat().st_size
    os.truncate(database, length)
    with pytest.raises(SpoolDamagedError, match=r"Nothing was (changed|touched)"):
        use(spool)
    assert payloads(spool) == before


def test_pages_that_were_zeroed_or_overwritten_lose_no_bytes(sound: Path, spool: Path) -> None:
    """Each either does not matter, or is told; no blob of what has yet to arrive is removed.

    An index that has lost a row says that nobody names its blob: nobody must believe it.
    """
    chance = random.Random(6)
    content = (sound / "spool.db").read_bytes()
    refused = 0
    before = payloads(spool)
    for number in range(TRIES):
        for end in ("-wal", "-shm"):
            (spool / f"spool.db{end}").unlink(missing_ok=True)
        (spool / "spool.db").write_bytes(HURTS[number % len(HURTS)](content, chance))
        try:
            use(spool)
        except SpoolError:
            refused += 1
        lost = before.keys() - payloads(spool).keys()
        assert len(lost) <= 1, number  # of the one that was cancelled
        for path in lost:
            path.write_bytes(before[path])
    assert refused > TRIES // 5  # they do hit something


def _zeroed(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) // PAGE) * PAGE
    return content[:at] + bytes(PAGE) + content[at + PAGE :]


def _overwritten(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) // PAGE) * PAGE
    return content[:at] + chance.randbytes(PAGE) + content[at + PAGE :]


def _sprinkled(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    at = chance.randrange(len(content) // PAGE) * PAGE
    for _ in range(20):
        changed[at + chance.randrange(PAGE)] = chance.randrange(256)
    return bytes(changed)


HURTS: list[Callable[[bytes, random.Random], bytes]] = [_zeroed, _overwritten, _sprinkled]


def test_a_row_that_an_index_has_lost_keeps_its_blob(spool: Path) -> None:
    """The sweep asks an index; before it believes it, the whole database is looked at."""
    with closing(sqlite3.connect(spool / "spool.db")) as hand:
        (page,) = hand.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_upload_1'"
        ).fetchone()
    empty = b"\x0a" + bytes(4) + PAGE.to_bytes(2, "big") + bytes(1)  # an index without entries
    with open(spool / "spool.db", "r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(empty)
    before = payloads(spool)
    with (
        Spool(spool, producer=False) as opened,
        pytest.raises(SpoolDamagedError, match="missing from index"),
    ):
        recover(opened.layout, opened.ledger)
    assert payloads(spool) == before


@pytest.mark.parametrize("how", ["emptied", "removed"])
@pytest.mark.parametrize("given", [True, False], ids=["with-destination", "without"])
def test_a_spool_that_lost_its_database_is_not_made_anew(
    spool: Path, how: str, given: bool
) -> None:
    """A new one would know of none of the artifacts, and its first sweep would remove them all."""
    before = payloads(spool)
    if how == "removed":
        (spool / "spool.db").unlink()
    else:
        os.truncate(spool / "spool.db", 0)
    expected = NotASpoolError if how == "removed" and not given else SpoolDamagedError
    with pytest.raises(expected):
        Spool(spool, (spool.parent / "remote").as_uri() if given else None)
    assert payloads(spool) == before


def test_a_newer_spool_is_left_as_it_is(spool: Path) -> None:
    """Not a byte of it is changed by whoever tries it."""
    with closing(sqlite3.connect(spool / "spool.db")) as hand:
        hand.execute("PRAGMA user_version = 99")
    before = (spool / "spool.db").read_bytes()
    with pytest.raises(SpoolVersionError, match="Use the newer artifact-uploader"):
        use(spool)
    assert (spool / "spool.db").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("options", "{", "Expecting property name"),
        ("options", "[1]", "remembers of its options"),
        ("options", "[" * 100_000, "recursion"),
        ("options", '{"part_size": "x"}', "not a size"),
        ("options", '{"of_a_newer_version": 1}', "a newer version may have written it"),
        ("ambient", "17", "remembers of its ambient"),
        ("capabilities", "[", "remembers of its capabilities"),
        ("destination", "ftp://host/path", "unknown destination"),
        ("destination", "", "the destination is empty"),
        ("max_bytes", "many", "invalid literal"),
        ("min_free_bytes", "9" * 5000, "remembers of its min_free_bytes"),
    ],
)
def test_what_a_spool_remembers_is_told_when_it_cannot_be_read(
    spool: Path, key: str, value: str, words: str
) -> None:
    """Exit code 6, not that of bad arguments: nobody gave them."""
    with closing(sqlite3.connect(spool / "spool.db")) as hand, hand:
        hand.execute("INSERT OR REPLACE INTO spool VALUES (?, ?)", (key, value))
    with (
        pytest.raises(SpoolDamagedError, match=f"(?s){key}.*{words}|{words}"),
        Spool(spool, producer=False) as opened,
    ):
        opened.place  # noqa: B018  the rest is read when it is needed


def test_counts_that_were_edited_are_told(spool: Path) -> None:
    """`status` and the end of a drain rest on them."""
    with closing(sqlite3.connect(spool / "spool.db")) as hand, hand:
        hand.execute("DELETE FROM tally WHERE state = 'ready'")
    with pytest.raises(SpoolDamagedError, match="counts cannot be read"):
        use(spool)
