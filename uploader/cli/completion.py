"""Complete commands, flags and names at the shell.

click writes the shells' scripts; what it cannot know, the names in a spool, is looked up here. An
error while something is completed is no error of the user's: then nothing is offered.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode
from uploader.errors import UploaderError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.state import State

PROGRAM = "uploader"
VARIABLE = "_UPLOADER_COMPLETE"  #: by which the shell's script asks; that is how click names it
OFFERED = 200  #: names at most; a longer list helps nobody

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=flags.Command,
    epilog="""eval "$(uploader completion bash)"   # in ~/.bashrc
eval "$(uploader completion zsh)"    # in ~/.zshrc, after compinit
uploader completion fish | source    # in ~/.config/fish/config.fish""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@flags.log_options(logging.WARNING)
def completion(shell: str) -> ExitCode:
    """Print the script that completes commands, flags and names in SHELL.

    Names are those in the spool of --spool or $UPLOADER_SPOOL: `uploader retry <TAB>` offers the
    dead letters.
    """
    click.echo(_of(shell).source())
    return ExitCode.DONE


def complete(variable: str) -> int:
    """Answer the shell, which asks by a variable what may come next; return the exit code."""
    from uploader.cli.main import uploader

    return shell_complete(uploader, {}, PROGRAM, variable, os.environ[variable])


def names_in(*states: State) -> Any:
    """Return what completes an argument with the names of uploads in these states."""

    def offer(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        del param
        with suppress(UploaderError, OSError, click.ClickException):
            return [CompletionItem(name) for name in _names(ctx, states, typed)]
        return []

    return offer


def _names(ctx: click.Context, states: Iterable[State], typed: str) -> list[str]:
    glob = "".join(f"[{one}]" if one in "*?[" else one for one in typed) + "*"
    found: dict[str, None] = {}
    with flags.open_for_reading(ctx.params.get("spool_path")) as spool:
        for state in states:
            for upload in spool.uploads(state=state, name_glob=glob, limit=OFFERED):
                found[upload.name] = None
    return list(found)[:OFFERED]


def _of(shell: str) -> Any:
    kind = get_completion_class(shell)
    assert kind  # noqa: S101  one of `SHELLS`
    return kind(click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
