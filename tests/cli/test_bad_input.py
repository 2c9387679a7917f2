"""Bad input through the command line: one line that says what is wrong, and nothing is spooled."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading

import pytest

from tests.bad_input import BAD_NAMES, shown
from tests.cli.shell import Shell

#: runs a command as this user, but without root's right to read what modes forbid
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize("name", BAD_NAMES, ids=shown)
def test_a_bad_name_is_refused(shell: Shell, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the rule that it breaks, and nothing in the spool."""
    shell.spool().close()
    where = ["--spool", str(shell.spool_path), "--", str(shell.file()), name]
    with shell.in_process() as run_command:
        code = run_command(["put", *where])
    said = capsys.readouterr()
    _refused(shell, subprocess.CompletedProcess([], code, said.out, said.err), BAD_NAMES[name])


def test_a_file_name_that_is_not_utf_8_is_refused(shell: Shell) -> None:
    """Where the name is the file's own: it would not be the same at the destination."""
    shell.spool().close()
    path = os.fsencode(shell.folder) + b"/bad\xff"
    with open(path, "wb"):
        _refused(shell, shell.run("put", os.fsdecode(path)), "not valid Unicode")


def test_a_leading_slash_is_stripped(shell: Shell) -> None:
    """As Composer does, before anything is checked."""
    shell.spool().close()
    assert shell.run("put", shell.file(), "/ckpt/ep1.pt").returncode == 0
    with shell.spool() as spool:
        assert [one.name for one in spool.uploads()] == ["ckpt/ep1.pt"]


def test_a_bad_name_in_a_link_is_refused(shell: Shell) -> None:
    """As target and as name."""
    shell.spool().close()
    _refused(shell, shell.run("link", "../x", "latest"), "contains '..'")
    _refused(shell, shell.run("link", "x", "latest.symlink"), "leave out '.symlink'")


def test_a_symlink_file_must_hold_a_name(shell: Shell) -> None:
    """Its text is the target: a bad name there is refused like any other."""
    shell.spool().close()
    source = shell.file("../x", "latest.symlink")
    _refused(shell, shell.run("put", source), "contains '..'")


def test_a_file_that_is_not_there_is_refused(shell: Shell) -> None:
    """The path and the system's own words."""
    shell.spool().close()
    _refused(shell, shell.run("put", "nowhere", "one"), "nowhere: No such file or directory")


def test_a_fifo_is_refused_and_not_waited_for(shell: Shell) -> None:
    """Opening one without a writer would block for ever."""
    shell.spool().close()
    os.mkfifo(shell.folder / "fifo")
    _refused(shell, shell.run("put", "fifo", "one"), "fifo: not a regular file")


def test_an_unreadable_file_is_refused(shell: Shell) -> None:
    """Root reads everything, so the command runs without that right."""
    shell.spool().close()
    shell.file().chmod(0)
    prefix = BOUND_BY_MODES if os.geteuid() == 0 else ()
    ended = shell.run("put", "source", "one", prefix=prefix)
    _refused(shell, ended, "source: Permission denied")


def test_a_file_that_changes_under_the_copy_is_refused(shell: Shell) -> None:
    """A mixture of two states is not an artifact; exit code 2 and what to do."""
    shell.spool().close()
    source = shell.file(bytes(64 << 20))
    ended, done = [], threading.Event()

    def put() -> None:
        ended.append(shell.run("put", source, "one"))
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    with source.open("ab") as file:
        for _ in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            file.write(b"more")
            file.flush()
    thread.join()
    _refused(shell, ended[0], "the file changed while it was copied; log it after it is written")


def test_a_full_disk_is_exit_code_7_and_leaves_nothing_behind(shell: Shell) -> None:
    """The spool goes on working: what fits is taken afterwards."""
    if os.geteuid() != 0:
        pytest.skip("a disk of a few MiB is mounted, which needs root")
    shell.spool_path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(shell.spool_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a disk")
    try:
        shell.spool(min_free_bytes=64 << 10).close()
        ended = shell.run("put", shell.file(bytes(8 << 20)), "large")
        assert ended.returncode == 7
        assert "is full: its disk has" in ended.stderr
        assert list((shell.spool_path / "staging").iterdir()) == []
        assert shell.run("put", shell.file(bytes(64 << 10)), "small").returncode == 0
        assert shell.run("drain", "--workers", 1).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(shell.spool_path)], check=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"garbage " * 1000, "not a database"),
        (b"", "is gone, or empty"),
        (None, "malformed"),
    ],
    ids=["garbage", "empty", "truncated"],
)
def test_a_damaged_database_is_exit_code_6_and_nothing_is_deleted(
    shell: Shell, content: bytes | None, words: str
) -> None:
    """What was found is said; the artifacts' bytes stay where they are."""
    shell.put("one")
    database = shell.spool_path / "spool.db"
    content = database.read_bytes()[: 3 * 4096] if content is None else content
    database.write_bytes(content)
    blobs = _blobs(shell)
    assert blobs
    ended = shell.run("drain")
    assert ended.returncode == 6, ended.stderr
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert _blobs(shell) == blobs
    assert database.read_bytes()[: len(content)] == content


def test_a_newer_spool_is_exit_code_6(shell: Shell) -> None:
    """It says which version it is and which are read."""
    with shell.spool() as spool:
        spool._journal.execute("PRAGMA user_version = 99")
    ended = shell.run("put", shell.file(), "one")
    assert ended.returncode == 6
    assert "has version 99; this program reads up to" in ended.stderr


@pytest.mark.parametrize("words", ["status", "ls", "verify", "gc", "retry --all", "get a b"])
def test_a_directory_without_a_spool_is_exit_code_6(
    shell: Shell, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how to make one, and makes none."""
    with shell.in_process() as run_command:
        assert run_command([*words.split(), "--spool", str(shell.spool_path)]) == 6
    advice = f"uploader init --spool {shell.spool_path} --destination URL"
    assert advice in capsys.readouterr().err
    assert not shell.spool_path.exists()


@pytest.mark.parametrize("command", ["drain", "run"])
def test_a_supervisor_without_a_spool_is_exit_code_6(shell: Shell, command: str) -> None:
    """A launcher that names the wrong directory must not be told that all arrived."""
    ended = shell.run(command)
    assert ended.returncode == 6
    assert "not a spool" in ended.stderr


def test_a_directory_with_other_things_in_it_is_no_place_for_a_spool(shell: Shell) -> None:
    """Nothing is mixed with somebody's files."""
    shell.file(name="spool/thesis.tex")
    ended = shell.run("init", "--destination", shell.url)
    assert ended.returncode == 6
    assert "is not empty ('thesis.tex' is there)" in ended.stderr
    assert os.listdir(shell.spool_path) == ["thesis.tex"]


def _refused(shell: Shell, ended: subprocess.CompletedProcess[str], words: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert ended.stderr.startswith("uploader: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
    with shell.spool() as spool:
        assert spool.uploads() == []
    assert _blobs(shell) == []
    assert list((shell.spool_path / "staging").iterdir()) == []


def _blobs(shell: Shell) -> list[str]:
    return [leaf for _, _, leaves in os.walk(shell.spool_path / "blobs") for leaf in leaves]
