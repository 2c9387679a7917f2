"""Hold every command to opening no spool in which something was put in place of what was made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.place import Place
from uploader import agent_owner, start_agent
from uploader.spool.layout import Layout
from uploader.spool.ownership import find_owner

FILES = [
    "spool.db",
    "spool.db-wal",
    "spool.db-shm",
    "init.lock",
    "supervisor.lock",
    "producers.lock",
    "agent.log",
    "agent.log.1",
]
DIRECTORIES = ["blobs", "staging", "blobs/ab"]
COMMANDS = ["status", "ls", "put source name", "drain", "retry --all", "gc", "init"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file, outside of the spool, that nobody may touch."""
    path = tmp_path / "victim"
    path.write_text("somebody's")
    path.chmod(0o640)
    return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a spool with one artifact."""
    place = Place(tmp_path)
    place.put("one", "content")
    place.spool.close()
    return Shell(tmp_path)


def refused(shell: Shell, words: str, what: str, err: Callable[[], str]) -> None:
    """Hold that a command ends with exit code 6, and one line that names what was found."""
    command, *arguments = words.replace("source", str(shell.file())).split()
    given = ["--destination", shell.url] if command == "init" else []
    with shell.in_process() as run_command:
        code = run_command([command, "--spool", str(shell.spool_path), *given, *arguments])
    said = err()
    assert code == 6, said
    assert f"the spool is damaged: {shell.spool_path / what} is " in said
    assert "Nothing was touched" in said


@pytest.mark.parametrize("what", FILES)
def test_a_symlink_in_place_of_a_file_is_not_followed(
    shell: Shell, victim: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither read, nor written, nor locked; by no command."""
    path = shell.spool_path / what
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    for words in COMMANDS:
        refused(shell, words, what, lambda: capsys.readouterr().err)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("somebody's", 0o640)
    assert path.is_symlink()


def test_a_symlink_to_a_sound_database_is_not_followed_either(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another spool's rows would be matched with this one's files."""
    (shell.folder / "other").mkdir()
    other = Place(shell.folder / "other")
    other.put("other", "content")
    other.spool.close()
    database = shell.spool_path / "spool.db"
    database.unlink()
    database.symlink_to(other.spool.path / "spool.db")
    for words in COMMANDS:
        refused(shell, words, "spool.db", lambda: capsys.readouterr().err)


@pytest.mark.parametrize("what", DIRECTORIES)
def test_a_symlink_in_place_of_a_directory_is_not_followed(
    shell: Shell, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is copied to where it leads, and nothing is swept there."""
    elsewhere = shell.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ("a" * 32)).write_text("looks like a file of a spool")
    path = shell.spool_path / what
    path.rename(shell.folder / "moved away")
    path.symlink_to(elsewhere)
    for words in COMMANDS:
        refused(shell, words, what, lambda: capsys.readouterr().err)
    assert os.listdir(elsewhere) == ["a" * 32]


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_a_file_that_became_something_else_is_not_waited_for(
    shell: Shell, what: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A FIFO has no end, and may have no beginning."""
    path = shell.spool_path / what
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    for words in ("status", "put source name", "drain"):
        refused(shell, words, what, lambda: capsys.readouterr().err)


@pytest.mark.parametrize("what", ["blobs", "staging"])
def test_a_missing_directory_is_told(
    shell: Shell, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whoever opens the spool without a destination; the uploads are not given up."""
    (shell.spool_path / what).rename(shell.folder / "moved away")
    for words in ("status", "put source name", "drain"):
        refused(shell, words, what, lambda: capsys.readouterr().err)
    (shell.folder / "moved away").rename(shell.spool_path / what)
    with shell.in_process() as run_command:
        assert run_command(["ls", "--spool", str(shell.spool_path)]) == 0
    assert "ready" in capsys.readouterr().out


def test_a_missing_bucket_is_made_again(shell: Shell) -> None:
    """It is empty: what was in it is missed upload by upload."""
    empty = next(path for path in shell.spool_path.glob("blobs/??") if not os.listdir(path))
    empty.rmdir()
    shell.spool().close()
    assert empty.is_dir()
    assert empty.stat().st_mode & 0o777 == 0o700


def test_no_agent_is_started_on_a_spool_with_a_planted_log(shell: Shell, victim: Path) -> None:
    """Its lines would be written to where the symlink leads."""
    (shell.spool_path / "agent.log").symlink_to(victim)
    with pytest.raises(Exception, match=r"agent\.log is a symlink"):
        start_agent(shell.spool_path)
    assert victim.read_text() == "somebody's"


LOCK_TEXTS = {
    "garbage": b"\xff\xfe garbage",
    "deep": b"[" * 4000,
    "list": b"[1, 2]",
    "strange keys": b'{"pid": 1, "home": "/"}',
    "pid as text": b'{"pid": "1", "started": 1, "workers": 1}',
    "huge pid": b'{"pid": 1e400, "started": 1, "workers": 1}',
    "negative pid": b'{"pid": -1, "started": 1, "workers": 1}',
    "nul": bytes(2200),
}


@pytest.mark.parametrize("text", LOCK_TEXTS.values(), ids=LOCK_TEXTS)
def test_a_lock_whose_text_is_not_ours_names_nobody(shell: Shell, text: bytes) -> None:
    """The lock decides, not its text: nobody holds it, so the next drain goes on."""
    (shell.spool_path / "supervisor.lock").write_bytes(text)
    assert agent_owner(shell.spool_path) is None
    with shell.spool() as spool:
        assert spool.status().agent_pid is None


def test_a_lock_text_with_a_live_pid_is_read_with_its_types(shell: Shell) -> None:
    """A text that gives a throughput of "fast" and a list as refusal breaks no `status`."""
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    lock = shell.spool_path / "supervisor.lock"
    for wrong in ('"bytes_per_second": "fast"', '"updated_at": null', '"updated_at": [1]'):
        lock.write_text(f'{{"pid": {os.getpid()}, "started": {start}, "workers": 1, {wrong}}}')
        assert find_owner(Layout(shell.spool_path)) is None
    lock.write_text(f'{{"pid": {os.getpid()}, "started": {start}, "workers": 1, "refusal": [1]}}')
    owner = find_owner(Layout(shell.spool_path))
    assert owner is not None
    assert owner.refusal == "[1]"


def test_a_lock_that_is_a_fifo_or_a_symlink_is_not_read(shell: Shell, victim: Path) -> None:
    """Whoever only asks who has the spool waits for nobody, and follows nothing."""
    lock = shell.spool_path / "supervisor.lock"
    os.mkfifo(lock)
    assert agent_owner(shell.spool_path) is None
    lock.unlink()
    victim.write_text(f'{{"pid": {os.getpid()}, "started": 0, "workers": 1}}')
    lock.symlink_to(victim)
    assert agent_owner(shell.spool_path) is None
