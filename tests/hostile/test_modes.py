"""Hold what commands create to its modes, whatever the umask; refuse what somebody else owns."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.cli.shell import Shell

#: what runs a program as this user, but without root's right to pass by modes
BOUND_BY_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
UMASKS = [0, 0o077, 0o777]


def run_all(shell: Shell, mask: int) -> None:
    """Make a spool, put, drain, get, and start and end an agent, in shells of that umask."""
    shell.file(name="source")
    for command, *words in (
        ("init", "--destination", shell.url),
        ("put", "source", "a/one"),
        ("drain", "--workers", "1"),
        ("get", "a/one", "fetched"),
        ("put", "source", "a/two"),
        ("run", "--workers", "1", "--exit-when-idle", "1ms"),
    ):
        ended = shell.run(command, *words, prefix=("sh", "-c", f'umask {mask:o}; exec "$@"', "sh"))
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_nobody_else_can_read_what_is_in_a_spool_and_its_owner_always_can(
    tmp_path: Path, mask: int
) -> None:
    """Directories 0700, files 0600; what is fetched or uploaded has the modes that were asked for.

    A umask that takes everything from the owner too is root's to get past, at the destination.
    """
    if mask == 0o777 and os.geteuid() != 0:
        pytest.skip("a local destination that its owner may not enter is of use to root alone")
    shell = Shell(tmp_path)
    run_all(shell, mask)
    for path in (shell.spool_path, *shell.spool_path.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.lstat().st_mode) == expected, path
    fetched = shell.folder / "fetched"
    for path in (fetched, shell.remote / "a" / "one", shell.remote / "a" / "two"):
        assert path.read_text() == "content"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path
    assert stat.S_IMODE((shell.remote / "a").stat().st_mode) == 0o777 & ~mask
    names = {path.name for path in shell.folder.rglob("*")}
    assert not [name for name in names if name.startswith(".uploader-")], "nothing is left over"


@pytest.mark.parametrize("before", [0o777, 0o000, 0o755])
def test_a_spools_directory_that_others_could_enter_is_closed_to_them(
    tmp_path: Path, before: int
) -> None:
    """By whoever names the destination: a launcher may have made it beforehand."""
    shell = Shell(tmp_path)
    shell.spool_path.mkdir()
    shell.spool_path.chmod(before)
    if before == 0 and os.geteuid() != 0:
        pytest.skip("only root can look into a directory without modes")
    shell.spool().close()
    assert stat.S_IMODE(shell.spool_path.stat().st_mode) == 0o700


COMMANDS = [
    "init",
    "put source name",
    "status",
    "ls",
    "drain",
    "run",
    "retry --all",
    "gc",
    "verify",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_spool_of_somebody_else_is_refused_by_every_command(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 6, both users named; also by root, whose the files of a job would be then."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root can give a directory away")
    shell = Shell(tmp_path)
    shell.put("one")
    os.chown(shell.spool_path, 12345, -1)
    command, *arguments = words.replace("source", str(shell.file())).split()
    given = ["--destination", shell.url] if command == "init" else []
    with shell.in_process() as run_command:
        assert run_command([command, "--spool", str(shell.spool_path), *given, *arguments]) == 6
    assert "belongs to user id 12345, this process runs as 0" in capsys.readouterr().err
    assert list(shell.spool_path.glob("*.lock")) == [shell.spool_path / "init.lock"]


def test_a_user_without_rights_is_told_whose_it_is(tmp_path: Path) -> None:
    """Whoever cannot look inside is not told that it is no spool, and how to make one."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root can give a directory away")
    shell = Shell(tmp_path)
    shell.put("one")
    os.chown(shell.spool_path, 12345, -1)
    ended = shell.run("status", prefix=BOUND_BY_MODES)
    assert ended.returncode == 6, ended.stderr
    assert "belongs to user id 12345" in ended.stderr
    assert "Traceback" not in ended.stderr
