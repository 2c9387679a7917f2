"""The shell completes commands, flags, and the names in a spool."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.cli.shell import Shell


def offered(shell: Shell, line: str) -> list[str]:
    """Return what bash would offer at the end of a line, by the script that we print."""
    words = line.split(" ")
    command = shell.file(f'#!/bin/sh\nexec {sys.executable} -m uploader "$@"\n', "bin/uploader")
    command.chmod(0o755)
    script = f"""
PATH={command.parent}:$PATH
eval "$(uploader completion bash)"
COMP_WORDS=({" ".join(repr(word) for word in words)})
COMP_CWORD={len(words) - 1}
_uploader_completion uploader
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(
        ["bash", "-c", script],
        env=shell.environment,
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout.split()


def test_bash_completes_commands_and_flags(shell: Shell) -> None:
    """What begins so is offered, and nothing else."""
    assert offered(shell, "uploader dr") == ["drain"]
    assert offered(shell, "uploader drain --time") == ["--timeout"]


def test_retry_is_offered_the_dead_letters(shell: Shell) -> None:
    """Their names, of the spool on the line; what is no dead letter is not offered."""
    shell.make_dead("ckpt/ep1.pt")
    shell.put("ckpt/ep2.pt")
    spool = shell.spool_path
    assert offered(shell, f"uploader retry --spool {spool} ckpt/") == ["ckpt/ep1.pt"]
    assert offered(shell, f"uploader cancel --spool {spool} ckpt/ep2") == ["ckpt/ep2.pt"]


def test_what_cannot_be_looked_up_offers_nothing(shell: Shell) -> None:
    """No spool, or none that can be read, is no error while somebody types."""
    assert offered(shell, "uploader get --spool /nowhere ck") == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: Shell, name: str) -> None:
    """Where the shell is here it reads it without complaint."""
    printed = shell.run("completion", name, spool=False)
    assert printed.returncode == 0
    assert "_UPLOADER_COMPLETE" in printed.stdout
    if shutil.which(name):
        checked = subprocess.run(
            [name, "-n"], input=printed.stdout, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
