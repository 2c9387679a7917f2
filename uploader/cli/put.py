"""Spool a file, or every file of a directory."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import click

from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode
from uploader.cli.waiting import wait_for
from uploader.errors import SourceChangedError
from uploader.observe.log import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.spool.spool import Spool


@click.command(
    cls=flags.Command,
    epilog="""uploader put --spool /local/spool model.pt ckpt/ep1.pt
uploader put --spool /local/spool -r samples/ run7/samples""",
)
@flags.spool_option
@flags.destination_option
@click.argument("file", type=click.Path(path_type=str, readable=False))
@click.argument("name", required=False)
@click.option("-r", "--recursive", is_flag=True, help="FILE is a directory: spool all files in it.")
@flags.overwrite_option
@flags.waiting_options
@click.option(
    "--when-full",
    type=click.Choice(["raise", "block"]),
    default="raise",
    show_default=True,
    help="When the spool is full: end with exit code 7, or wait for room.",
)
@flags.origin_options
@flags.log_options(logging.WARNING)
def put(
    *,
    spool_path: str | None,
    destination: str | None,
    file: str,
    name: str | None,
    recursive: bool,
    overwrite: bool,
    wait: bool,
    timeout: float | None,
    when_full: str,
    origin: dict[str, Any],
) -> ExitCode:
    """Spool FILE under NAME (else its base name), and print the upload's id.

    When this returns, the file as it is now cannot be lost any more, whatever is killed. It is
    uploaded by the agent (`uploader run`) or by `uploader drain`.

    With -r every file below the directory FILE is spooled as NAME/relative/path, or without NAME
    as relative/path. Files that cannot be spooled are named, the others are spooled, and the exit
    code is 2.
    """
    _require_kind(file, recursive)
    failed = False
    ids = []
    with flags.open_spool(spool_path, destination, {}, when_full=when_full) as spool:
        for artifact, path in _files(file, name, recursive):
            try:
                ids.append(_put(spool, artifact, path, overwrite, origin))
            except (click.ClickException, SourceChangedError) as error:
                if not recursive:
                    raise
                failed = True
                say(f"uploader: not spooled: {flags.message_of(error)}")
        if wait:
            wait_for(spool, ids, timeout)
    return ExitCode.USAGE if failed else ExitCode.DONE


def _require_kind(file: str, recursive: bool) -> None:
    if recursive and not os.path.isdir(file):
        raise click.UsageError(f"{file} is not a directory; leave out -r")
    if os.path.isdir(file) and not recursive:
        raise click.UsageError(f"{file} is a directory; to spool every file in it: -r")


def _files(file: str, name: str | None, recursive: bool) -> Iterator[tuple[str, str]]:
    """Yield artifact names and paths; of a directory in a fixed order."""
    if not recursive:
        yield (os.path.basename(file) if name is None else name), file
        return
    for directory, inner, leaves in os.walk(file, onerror=_say):
        inner.sort()
        for leaf in sorted(leaves):
            path = os.path.join(directory, leaf)
            relative = os.path.relpath(path, file)
            yield (f"{name.rstrip('/')}/{relative}" if name else relative), path


def _say(error: OSError) -> None:
    """Raise: a directory that cannot be read is not an empty one."""
    raise click.ClickException(flags.message_of(error)) from error


def _put(spool: Spool, artifact: str, path: str, overwrite: bool, origin: dict[str, Any]) -> str:
    with flags.arguments_blamed(ValueError, OSError):
        upload_id = spool.put_file(artifact, path, overwrite=overwrite, **origin)
    click.echo(upload_id)
    return upload_id
