"""The command line as a whole: help, errors, what it loads, and how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.cli.shell import Shell
from uploader.cli.exit_codes import ExitCode
from uploader.cli.main import COMMANDS


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_each_command_explains_itself(
    shell: Shell, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it does, what its flags do, and an example that can be pasted."""
    with shell.in_process() as run_command:
        assert run_command([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: uploader {command}")
    assert "Example:\n  " in text
    assert f"uploader {command} " in text.partition("Example:\n")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_fits_and_explains_every_line(
    shell: Shell, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 80 columns; no argument stands among the options, where nothing would be said of it."""
    monkeypatch.setenv("COLUMNS", "80")
    with shell.in_process() as run_command:
        assert run_command([command, "--help"]) == 0
    text = capsys.readouterr().out
    options, _, example = text.partition("\nOptions:\n")[2].partition("\nExample:\n")
    names = [line.split()[0] for line in options.splitlines() if re.match(r"  \S", line)]
    assert [name for name in names if not name.startswith("-")] == []
    assert "default: (" not in text
    assert [line for line in text.removesuffix(example).splitlines() if len(line) > 80] == []


def test_the_help_lists_commands_and_exit_codes(shell: Shell) -> None:
    """All commands, in one screen; without a command it is shown as an error of usage."""
    asked, bare = shell.run("--help", spool=False), shell.run("", spool=False)
    assert (asked.returncode, bare.returncode) == (0, 2)
    assert asked.stdout.strip() == bare.stderr.strip()
    assert [line for line in asked.stdout.splitlines() if len(line) > 80] == []
    width = max(map(len, COMMANDS))
    for name, what in COMMANDS.items():
        assert f"  {name:<{width}}  {what}" in asked.stdout
    for code in ExitCode:
        assert f"\n  {code:>3}  " in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["drain", "--timeout", "soon"], "not a duration: 'soon'"),
        (["drain", "--workers", "0"], "0 is not in the range"),
        (["init", "--max-bytes", "many"], "not a size: 'many'"),
        (["status"], "name the spool: --spool DIR, or set UPLOADER_SPOOL"),
        (["init", "--spool", "", "--destination", "file:///x"], "directory is empty text"),
        (["status", "--wrong"], "No such option"),
    ],
)
def test_an_error_of_usage_is_one_line(
    shell: Shell, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Exit code 2, what is wrong, and where to read more."""
    monkeypatch.delenv("UPLOADER_SPOOL", raising=False)
    with shell.in_process() as run_command:
        assert run_command(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("uploader: ")
    assert message in said.err
    assert "--help)" in said.err
    assert said.err.count("\n") == 1


def test_an_internal_error_shows_where_only_when_asked(
    shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and one line; the traceback with -v."""

    def broken(path: object) -> None:
        raise RuntimeError(f"cannot be: {path}")

    monkeypatch.setattr("uploader.cli.flags.open_for_reading", broken)
    with shell.in_process() as run_command:
        assert run_command(["ls", "--spool", "x"]) == 1
        brief = capsys.readouterr().err
        assert run_command(["ls", "--spool", "x", "-v"]) == 1
        full = capsys.readouterr().err
    assert brief.startswith("uploader: internal error: RuntimeError: cannot be: x (")
    assert brief.count("\n") == 1
    assert "Traceback" in full


def test_the_spool_may_come_from_the_environment(shell: Shell) -> None:
    """UPLOADER_SPOOL stands for --spool, and --spool goes over it."""
    upload = shell.put("one")
    named = shell.run("ls", spool=False, UPLOADER_SPOOL=str(shell.spool_path))
    over = shell.run("ls", UPLOADER_SPOOL="/nowhere")
    assert named.stdout == over.stdout
    assert named.stdout.startswith(upload)


def test_a_drain_loads_no_rich_and_no_sdk(shell: Shell) -> None:
    """Without a terminal there is no bar, so what draws one is not loaded; nor other commands."""
    shell.spool().close()
    program = (
        "import sys; from uploader.cli.main import run_command; "
        f"code = run_command(['drain', '--spool', {str(shell.spool_path)!r}]); "
        "print(code, *sorted({name.partition('.')[0] for name in sys.modules}), "
        "*(name for name in sys.modules if name.startswith('uploader.cli')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    loaded = ended.stdout.split()
    assert loaded[0] == "0"
    assert {"click", "uploader.cli.drain"} <= set(loaded)
    assert not {"rich", "boto3", "google.cloud", "uploader.cli.get", "numpy"} & set(loaded)


def test_a_worker_that_imports_the_entry_point_pays_nothing() -> None:
    """`multiprocessing` may import the program's main module again in each worker."""
    program = "import uploader.__main__, sys; print({'click', 'uploader.cli'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ended.stdout.strip() == "set()"


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    """`uploader ls | head`: it ends as other programs do, and says nothing."""
    with shell.spool() as spool:
        for number in range(300):  # more than a pipe holds
            spool.put_symlink("x", f"{'n' * 1000}{number}")
    process = shell.start("ls")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_the_module_and_the_console_script_are_one(shell: Shell) -> None:
    """Both give the version of the distribution."""
    script = os.path.join(os.path.dirname(sys.executable), "uploader")
    said = subprocess.run([script, "--version"], check=True, capture_output=True, text=True)
    assert said.stdout == shell.run("--version", spool=False).stdout
    assert said.stdout.startswith("uploader, version ")
