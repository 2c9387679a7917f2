"""Hold what is made of SQLite's log: of one that was damaged, and of one that a crash left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.place import Place
from uploader import Spool, SpoolDamagedError
from uploader.spool.recovery import recover
from uploader.spool.wal import FRAME_HEADER, HEADER

PAGE = 4096  #: bytes of SQLite's


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    """A spool as SIGKILL leaves it: twelve commits are in its log, and not in its database."""
    place = Place(tmp_path / "live")
    for number in range(12):
        place.put(f"name/{number}", f"content {number}")
    shutil.copytree(place.spool.path, tmp_path / "left")
    yield tmp_path / "left"
    place.spool.close()


def log(spool: Path) -> Path:
    """Return the log's path."""
    return spool / "spool.db-wal"


def swept(spool: Path) -> tuple[int, int]:
    """Open the spool and recover it; return how many rows and how many payloads there are."""
    with Spool(spool, producer=False) as opened:
        recover(opened.layout, opened.ledger)
        return len(opened.uploads()), len(list(spool.glob("blobs/*/*")))


def commit_ends(spool: Path) -> list[int]:
    """Return where in the log each commit ends, in bytes."""
    content = log(spool).read_bytes()
    size = FRAME_HEADER + PAGE
    frames = range(HEADER, len(content) - size + 1, size)
    salts = content[16:24]
    return [
        at + size
        for at in frames
        if content[at + 8 : at + 16] == salts and any(content[at + 4 : at + 8])
    ]


def test_what_a_kill_leaves_in_the_log_is_there(left: Path) -> None:
    """The ordinary case: nothing is lost, nothing refused."""
    assert swept(left) == (12, 12)


def test_a_last_commit_that_was_cut_short_is_no_damage(left: Path) -> None:
    """As a power loss leaves it, before the call had returned: its copy is swept."""
    os.truncate(log(left), commit_ends(left)[-1] - 100)
    assert swept(left) == (11, 11)


def test_a_last_commit_whose_frames_came_to_the_disk_out_of_order_is_no_damage(left: Path) -> None:
    """Its end is there, its beginning is not: it was not synced."""
    *_, before, _ = commit_ends(left)
    _overwrite(log(left), before, bytes(200))
    assert swept(left) == (11, 11)


def test_a_log_of_which_no_bytes_reached_the_disk_is_no_damage(tmp_path: Path) -> None:
    """A new log, before its first commit: its length is on the disk, nothing else."""
    place = Place(tmp_path)
    place.put("first", "content")
    place.spool.close()
    log(place.spool.path).write_bytes(bytes(3 * PAGE))
    assert swept(place.spool.path) == (1, 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"garbage " * (len(content) // 8),
        lambda content: b"\xff" + content[1:],
        lambda content: content[: HEADER + 50] + b"\xff" * 8 + content[HEADER + 58 :],
        lambda content: (
            content[: len(content) // 2] + bytes(PAGE) + content[len(content) // 2 + PAGE :]
        ),
        lambda content: content[:20000] + bytes([content[20000] ^ 1]) + content[20001:],
    ],
    ids=["garbage", "mark", "first-frame", "hole", "one-bit"],
)
def test_a_damaged_log_is_refused_and_nothing_is_touched(
    left: Path, damage: Callable[[bytes], bytes]
) -> None:
    """SQLite would take it up to there without a word, and the sweep remove what was after it."""
    log(left).write_bytes(damaged := damage(log(left).read_bytes()))
    for _ in range(2):  # and again: what was found is still there to be found
        with pytest.raises(SpoolDamagedError, match=r"spool.db-wal .*Nothing was changed"):
            swept(left)
    assert len(list(left.glob("blobs/*/*"))) == 12
    assert log(left).read_bytes() == damaged


def test_what_commits_that_failed_leave_behind_a_shorter_one_is_no_damage(left: Path) -> None:
    """Each was written, and its writer killed before it said so: the next wrote over its begin."""
    whole = log(left).read_bytes()
    content, before = whole, len(commit_ends(left))
    for tables in (["tally", "upload", "spool"], ["tally", "upload"], ["tally"]):
        longer, content = content, _committed(left, whole, tables)
        content += longer[len(content) :]
    log(left).write_bytes(content)
    assert len(commit_ends(left)) == before + 3  # one to be taken, two left over
    assert swept(left) == (12, 12)


def test_a_spool_opens_while_another_process_copies_the_log(tmp_path: Path) -> None:
    """The lock of a checkpoint is held for as long as the disk takes."""
    place = Place(tmp_path)
    place.put("name", "content")
    held = "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, 2, 1, 121)"
    with _beside(f"{held}; print(flush=True); sys.stdin.read()", shared(place.spool.path)):
        assert swept(place.spool.path) == (1, 1)
    place.spool.close()


def test_a_spool_opens_while_another_process_begins_the_log_anew(tmp_path: Path) -> None:
    """It says so in the shared memory first, then in the log; it may be killed between."""
    place = Place(tmp_path)
    for number in range(3):
        place.put(f"name/{number}", "content")
    place.spool._journal.rows("PRAGMA wal_checkpoint")
    with _beside(ANEW, shared(place.spool.path)):
        assert swept(place.spool.path) == (3, 3)
    place.spool.close()


def test_a_log_that_was_taken_away_is_missed(left: Path) -> None:
    """The shared memory beside it says that it had what is in no other place."""
    log(left).unlink()
    with pytest.raises(SpoolDamagedError, match="is missing"):
        swept(left)
    assert len(list(left.glob("blobs/*/*"))) == 12
    assert not log(left).exists()


def test_a_log_may_be_given_up_by_a_person(tmp_path: Path) -> None:
    """As the message says: without both files it goes on, with what is in the database."""
    place = Place(tmp_path)
    first = place.put("first", "content")
    place.spool.close()
    with Spool(place.spool.path, producer=False) as spool:
        spool.put_file("second", tmp_path / "source")
        shutil.copytree(place.spool.path, tmp_path / "left")
    for end in ("wal", "shm"):
        (tmp_path / "left" / f"spool.db-{end}").unlink()
    with Spool(tmp_path / "left", producer=False) as spool:
        assert [one.id for one in spool.uploads()] == [first]


#: Does what `walRestartHdr` of SQLite's does (wal.c): no frame, other salts, nothing copied.
ANEW = """
import struct, sys
with open(sys.argv[1], "r+b") as file:
    index = bytearray(file.read(100))
    index[16:20] = bytes(4)
    index[32] ^= 1
    words = iter(struct.unpack("=10I", index[:40]))
    first = second = 0
    for even, odd in zip(words, words):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    index[40:48] = struct.pack("=II", first, second)
    index[48:100] = index[:48] + bytes(4)
    file.seek(0)
    file.write(index)
print(flush=True)
sys.stdin.read()
"""


def shared(spool: Path) -> Path:
    """Return the path of SQLite's shared memory."""
    return spool / "spool.db-shm"


@contextmanager
def _beside(code: str, path: Path) -> Iterator[None]:
    """Run code in another process: until it has printed a line, and then until the end."""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield
        process.communicate()
    assert process.returncode == 0


def _committed(spool: Path, whole: bytes, tables: list[str]) -> bytes:
    """Return the log with a commit of one frame for each table behind what it holds."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "spool.db")
        shutil.copyfile(spool / "spool.db", copy)
        Path(f"{copy}-wal").write_bytes(whole)
        with closing(sqlite3.connect(copy)) as connection, connection:
            for table in tables:
                column = connection.execute(f"SELECT * FROM {table}").description[0][0]
                connection.execute(f"UPDATE {table} SET {column} = {column}")
            connection.commit()
            return Path(f"{copy}-wal").read_bytes()


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)
