"""Fetch an artifact into a file."""

from __future__ import annotations

import logging

import click

from uploader.cli import flags
from uploader.cli.completion import names_in
from uploader.cli.exit_codes import ExitCode
from uploader.observe.progress import transfer_progress
from uploader.readback.get import fetch_from
from uploader.state import State


@click.command(
    cls=flags.Command,
    epilog="""uploader get --spool /local/spool ckpt/latest resume.pt
uploader get --destination file:///mnt/artifacts ckpt/latest resume.pt   # on a new node""",
)
@flags.spool_option
@flags.source_option
@click.argument("name", shell_complete=names_in(State.DONE, State.READY, State.ACTIVE))
@click.argument("dest", type=click.Path(path_type=str, readable=False))
@click.option("--overwrite", is_flag=True, help="Replace DEST if it exists.")
@flags.log_options(logging.WARNING)
def get(
    spool_path: str | None, destination: str | None, name: str, dest: str, overwrite: bool
) -> ExitCode:
    """Fetch the artifact NAME into the file (or the directory) DEST.

    Symlinks are followed. What the spool still holds and has not uploaded yet is newer than what
    is at the destination, and is taken first. On a machine that has no spool, name the destination
    alone. The bytes are compared with the checksum that was taken when they were logged; DEST
    appears complete or not at all.
    """
    with (
        flags.spool_or_destination(spool_path, destination) as (spool, source),
        transfer_progress(name) as progress,
        flags.arguments_blamed(ValueError, OSError),
    ):
        fetch_from(spool, source, name, dest, overwrite=overwrite, progress=progress)
    return ExitCode.DONE
