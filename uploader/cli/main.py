"""Find the command, run it, and turn whatever happens into one line and an exit code.

Commands are loaded when they are run: `uploader drain` does not pay for `uploader get`.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

import click

from uploader.cli.exit_codes import EXPLAINED, PIPE_CLOSED, ExitCode, of_error
from uploader.errors import SpoolFullError, UploaderError, advice, without_passwords
from uploader.observe.log import say

if TYPE_CHECKING:
    from collections.abc import Sequence

#: In the order of an artifact's life, so that the help reads as a story.
COMMANDS = {
    "init": "Make a spool, and say where it uploads to.",
    "put": "Spool a file, or every file of a directory.",
    "link": "Spool a symlink from one artifact name to another.",
    "watch": "Spool files that appear in a directory, once they are complete.",
    "run": "Upload as artifacts arrive: the agent.",
    "drain": "Upload everything that is in the spool, then exit.",
    "status": "Show what waits, what is under way, and what failed.",
    "ls": "List uploads, one a line.",
    "retry": "Put dead letters back to ready.",
    "cancel": "Give up on uploads.",
    "get": "Fetch an artifact, following symlinks.",
    "nodes": "Show what nodes that are gone had not uploaded.",
    "verify": "Compare what the destination holds with what was uploaded.",
    "gc": "Remove what unfinished uploads left, and forget old rows.",
    "check": "Try out a destination, and say what to do about what fails.",
    "completion": "Print the script that completes commands and names at the shell.",
    "demo": "See it work: a small training run, killed and resumed.",
}

EXAMPLE = """\
Example:

  uploader init --spool /local/spool --destination file:///mnt/artifacts
  uploader put --spool /local/spool model.pt ckpt/ep1.pt
  uploader drain --spool /local/spool
"""


class Commands(click.Group):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"uploader.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing every command for its first line."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example and the exit codes as they are, not filled into a paragraph."""
        del ctx
        for line in ("", *EXAMPLE.splitlines(), "", *EXPLAINED.splitlines()):
            formatter.write(f"{line}\n")


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="artifact-uploader")
@click.pass_context
def uploader(ctx: click.Context) -> ExitCode | None:
    """Upload a training run's artifacts, so that no crash loses one.

    Artifacts are first copied into a spool, a directory on a local disk that survives crashes.
    From there they go to the spool's destination. Every command works on one spool: name it with
    --spool DIR, or set UPLOADER_SPOOL.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return ExitCode.USAGE
    return None


def run_command(arguments: Sequence[str]) -> int:
    """Run `uploader` with these arguments; return the exit code. Never raises."""
    try:
        # Not `main()`: it would end the process itself where the reader of our output went away.
        with uploader.make_context("uploader", list(arguments)) as context:
            code = uploader.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code
    except BrokenPipeError:
        return _reader_went_away()
    except (click.exceptions.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        _complain(_usage(error))
        return ExitCode.USAGE
    except Exception as error:  # noqa: BLE001  the one place where an error becomes an exit code
        return _fail(error, with_traceback=_asks_for_details(arguments))
    return int(code or 0)


def _fail(error: Exception, *, with_traceback: bool) -> int:
    code = of_error(error)
    if with_traceback:
        sys.stderr.write(without_passwords("".join(traceback.format_exception(error))))
    message = str(error)
    if isinstance(error, SpoolFullError):
        message = error.strerror or message
    elif isinstance(error, OSError) and (todo := advice(error)):
        message = f"{message}; nothing is lost: {todo}"
    elif isinstance(error, MemoryError) or "failed to map segment" in message:  # of a library
        message = "out of memory; nothing is lost: end something, or raise the limit (ulimit -v)"
    elif code is ExitCode.INTERNAL and not isinstance(error, UploaderError):
        message = f"internal error: {type(error).__name__}: {message}"
        if not with_traceback:
            message += " (the same command with -v shows where)"
    _complain(message)
    return code


def _usage(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError):
        return error.format_message()
    command = error.ctx.command_path if error.ctx else "uploader"
    return f"{error.format_message()} (see: {command} --help)"


def _complain(message: str) -> None:
    one_line = (
        " ".join(without_passwords(message).split()).encode(errors="backslashreplace").decode()
    )
    say(f"uploader: {one_line}", logging.ERROR)


def _asks_for_details(arguments: Sequence[str]) -> bool:
    return any(
        one == "--verbose" or (one[:1] == "-" and set(one[1:]) == {"v"}) for one in arguments
    )


def _reader_went_away() -> int:
    """End quietly, as `uploader ls | head` should; nothing more is flushed into the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED
