"""Bad input through Python: the matching error at the call, and nothing is spooled."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.bad_input import BAD_NAMES, GOOD_NAMES, shown
from uploader import (
    DestinationMismatchError,
    NotASpoolError,
    SourceChangedError,
    Spool,
    SpoolDamagedError,
    SpoolFullError,
    SpoolVersionError,
)
from uploader.errors import SpoolError
from uploader.spool import layout, staging
from uploader.spool.capacity import Capacity

#: what runs a program as this user, but without root's right to read what modes forbid
BOUND_BY_MODES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


class Room:
    """A spool and a source file."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.path = folder / "spool"
        self.source = folder / "source"
        self.source.write_text("content")
        self.spool = Spool(self.path, (folder / "remote").as_uri())

    def files(self) -> list[str]:
        """Return every payload, finished or not."""
        inside = (self.spool.layout.blobs, self.spool.layout.staging)
        return [leaf for room in inside for _, _, leaves in os.walk(room) for leaf in leaves]

    def is_untouched(self) -> bool:
        """Tell whether nothing was spooled and nothing was left behind."""
        return self.spool.uploads() == [] and self.files() == []


@pytest.fixture
def room(tmp_path: pathlib.Path) -> Iterator[Room]:
    """An empty spool."""
    room = Room(tmp_path)
    yield room
    room.spool.close()


@pytest.mark.parametrize("name", [*BAD_NAMES, "a\0b"], ids=shown)
def test_a_bad_name_is_a_value_error(room: Room, name: str) -> None:
    """It says which rule is broken; as a file, as a symlink's name and as its target."""
    rule = BAD_NAMES.get(name, "control character")
    for call in _ways_to_say(room, name):
        with pytest.raises(ValueError, match=rule.replace(".", r"\.")):
            call()
    assert room.is_untouched()


def _ways_to_say(room: Room, name: str) -> list[Callable[[], str]]:
    return [
        lambda: room.spool.put_file(name, room.source),
        lambda: room.spool.put_symlink("target", name),
        lambda: room.spool.put_symlink(name, "link"),
    ]


def test_odd_names_are_fine(room: Room) -> None:
    """At the limit of length, beyond ASCII, and with characters that mean something to shells."""
    for name in GOOD_NAMES:
        room.spool.put_file(name, room.source)
    assert [upload.name for upload in room.spool.uploads()] == list(GOOD_NAMES)


def test_a_leading_slash_is_stripped(room: Room) -> None:
    """As Composer does, before the check; the name is then the same artifact's."""
    room.spool.put_file("//ckpt/ep1", room.source)
    with pytest.raises(FileExistsError):
        room.spool.put_file("ckpt/ep1", room.source)


def test_a_name_of_another_type_is_a_type_error(room: Room) -> None:
    """Bytes and paths are not guessed at."""
    for name in (b"one", pathlib.Path("one"), None, 1):
        with pytest.raises(TypeError, match="must be a str"):
            room.spool.put_file(name, room.source)  # type: ignore[arg-type]
    assert room.is_untouched()


def test_a_symlink_file_must_hold_a_name(room: Room) -> None:
    """Its text is the target; text that is no valid name is a ValueError."""
    for text in (b"../up", b"", b"\xff\xfe", b"a\0b", b"n" * 1025, b"latest"):
        room.source.write_bytes(text)
        with pytest.raises(ValueError, match=r"artifact name|symlink"):
            room.spool.put_file("latest.symlink", room.source)
    assert room.is_untouched()


def test_a_file_that_is_not_there_is_file_not_found(room: Room) -> None:
    """Also a symlink to nothing."""
    (room.folder / "dangling").symlink_to("nowhere")
    for path in ("nowhere", "dangling"):
        with pytest.raises(FileNotFoundError):
            room.spool.put_file("one", room.folder / path)
    assert room.is_untouched()


def test_a_directory_is_is_a_directory(room: Room) -> None:
    """With the advice to log its files."""
    with pytest.raises(IsADirectoryError, match="log its files"):
        room.spool.put_file("one", room.folder)
    assert room.is_untouched()


def test_a_fifo_or_a_device_is_an_os_error_at_once(room: Room) -> None:
    """A FIFO without a writer is not waited for."""
    os.mkfifo(room.folder / "fifo")
    for path in (room.folder / "fifo", pathlib.Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file") as caught:
            room.spool.put_file("one", path)
        assert caught.value.errno == errno.EINVAL
    assert room.is_untouched()


def test_an_unreadable_file_is_a_permission_error(room: Room) -> None:
    """Tried in a process that modes bind, which root is not."""
    room.source.chmod(0)
    program = (
        "import sys; from uploader import Spool\n"
        "with Spool(sys.argv[1]) as spool:\n"
        "    try: spool.put_file('one', sys.argv[2])\n"
        "    except PermissionError as error: print(error.filename)\n"
    )
    prefix = BOUND_BY_MODES if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*prefix, sys.executable, "-c", program, str(room.path), str(room.source)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.strip() == str(room.source)
    assert room.is_untouched()


@pytest.mark.parametrize("change", ["longer", "shorter", "same size"])
def test_a_file_that_changes_under_the_copy_is_refused(
    room: Room, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Seen by its size and by its time of change; the copy is removed."""
    copy = staging._copy
    content = {"longer": "content more", "shorter": "con", "same size": "CONTENT"}[change]

    def changing(source: staging.Source, descriptor: int) -> object:
        copied = copy(source, descriptor)
        room.source.write_text(content)
        os.utime(room.source, ns=(0, source.mtime_ns + 1))
        return copied

    monkeypatch.setattr(staging, "_cloned", lambda *arguments: False)
    monkeypatch.setattr(staging, "_copy", changing)
    with pytest.raises(SourceChangedError, match="changed while it was copied") as caught:
        room.spool.put_file("one", room.source)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, str(room.source))
    assert room.is_untouched()


def test_a_full_spool_is_an_error_that_leaves_it_working(room: Room) -> None:
    """SpoolFullError is an OSError with ENOSPC; what fits is taken, before and after."""
    with Spool(room.path, max_bytes=10) as spool:
        first = spool.put_file("one", room.source)
        with pytest.raises(SpoolFullError, match="7 bytes wait in it, 7 more") as caught:
            spool.put_file("two", room.source)
        assert caught.value.errno == errno.ENOSPC
        assert len(room.files()) == 1
        spool.cancel(first)
        spool.put_file("two", room.source)


def test_a_file_larger_than_the_spool_is_refused_also_when_it_would_wait(room: Room) -> None:
    """There would never be room: to wait for it would be for ever."""
    with (
        Spool(room.path, max_bytes=3, when_full="block") as spool,
        pytest.raises(SpoolFullError, match="raise max_bytes"),
    ):
        spool.put_file("one", room.source)


def test_a_disk_that_fills_up_under_the_copy_is_a_full_spool(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other programs write there too: the check before the copy can be overtaken."""
    if os.geteuid() != 0:
        pytest.skip("a disk of a few MiB is mounted, which needs root")
    disk = tmp_path / "spool"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a disk")
    try:
        room = Room(tmp_path)
        monkeypatch.setattr(Capacity, "lack", lambda *arguments: None)
        room.source.write_bytes(bytes(8 << 20))
        with pytest.raises(SpoolFullError, match="no room on the spool's disk"):
            room.spool.put_file("one", room.source)
        assert room.is_untouched()
        room.source.write_text("small")
        room.spool.put_file("two", room.source)
        room.spool.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_an_unknown_way_to_be_full_is_a_value_error(tmp_path: pathlib.Path) -> None:
    """And makes no spool."""
    with pytest.raises(ValueError, match="when_full"):
        Spool(tmp_path / "spool", "file:///x", when_full="wait")  # type: ignore[arg-type]
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    "url", ["", "  ", "ftp://host/x", "file://host/x", "file:///a%00b", "s4://b"]
)
def test_a_bad_destination_is_a_value_error(tmp_path: pathlib.Path, url: str) -> None:
    """It says what is expected, and makes no spool."""
    with pytest.raises(ValueError, match="destination"):
        Spool(tmp_path / "spool", url)
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 3}, "no such option: parts; there are: .*part_size"),
        ({"part_size": "many"}, "option part_size: not a size"),
        ({"max_attempts": 0}, "option max_attempts: must be at least 1"),
        (
            {"symlink_mode": "hard"},
            "option symlink_mode: write one of pointer, copy, native, not 'hard'",
        ),
    ],
)
def test_a_bad_option_is_a_value_error(
    room: Room, options: dict[str, object], message: str
) -> None:
    """It names the option; what was remembered stays."""
    before = room.spool.options
    with pytest.raises(ValueError, match=message):
        Spool(room.path, options=options)
    assert room.spool.options == before


def test_another_destination_is_refused(room: Room) -> None:
    """Both URLs are named."""
    with pytest.raises(DestinationMismatchError, match=r"remote, not to file:///elsewhere"):
        Spool(room.path, "file:///elsewhere")


def test_a_directory_without_a_spool_is_refused(tmp_path: pathlib.Path) -> None:
    """Nothing is made there; a directory with other things in it is no place for one."""
    with pytest.raises(NotASpoolError, match="uploader init"):
        Spool(tmp_path / "nothing")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(NotASpoolError, match="is not empty"):
        Spool(tmp_path, "file:///x")
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda content: b"garbage " * 1000, SpoolDamagedError),
        (lambda content: content[: 3 * 4096], SpoolDamagedError),
        (lambda content: b"", SpoolDamagedError),
    ],
    ids=["garbage", "truncated", "empty"],
)
def test_a_damaged_database_is_refused_and_nothing_is_deleted(
    room: Room, damage: Callable[[bytes], bytes], error: type[SpoolError]
) -> None:
    """The bytes that were logged stay, for a person to rescue."""
    room.spool.put_file("one", room.source)
    room.spool.close()
    database = room.path / "spool.db"
    database.write_bytes(damaged := damage(database.read_bytes()))
    files = room.files()
    with pytest.raises(error):
        Spool(room.path).uploads()
    assert room.files() == files != []
    assert database.read_bytes()[: len(damaged)] == damaged


def test_a_tampered_row_is_not_followed(room: Room) -> None:
    """The database itself refuses an id that is a path: no blob outside the spool is ever named."""
    upload = room.spool.put_file("one", room.source)
    with pytest.raises(Exception, match="CHECK constraint"):
        room.spool._journal.execute(
            "UPDATE upload SET id = '../../../etc/passwd' WHERE id = ?", (upload,)
        )


def test_a_newer_spool_is_refused(room: Room) -> None:
    """It says which version wrote it; nothing is changed."""
    room.spool._journal.execute("PRAGMA user_version = 99")
    with pytest.raises(SpoolVersionError, match="has version 99"):
        Spool(room.path)


def test_a_planted_symlink_is_not_followed(room: Room) -> None:
    """A blob that became a symlink is a damaged spool file, not a way to read other files."""
    from uploader.errors import DamagedError
    from uploader.store.body import Body

    upload = room.spool.put_file("one", room.source)
    blob = room.spool.layout.blob(upload)
    blob.unlink()
    blob.symlink_to(room.source)
    with pytest.raises(DamagedError, match="spool file damaged"):
        list(Body(str(blob), 0, 7, None).chunks())


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "fuse.sshfs"])
def test_a_network_file_system_is_refused_by_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """SQLite's log is not safe there."""
    monkeypatch.setattr(layout, "file_system_of", lambda path: kind)
    with pytest.raises(SpoolError, match=rf"network file system \({kind}\)"):
        Spool(tmp_path / "spool", "file:///x")
