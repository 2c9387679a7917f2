"""List uploads, one a line."""

from __future__ import annotations

import json
import logging

import click

from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode
from uploader.state import State


@click.command(
    cls=flags.Command,
    epilog="""uploader ls --spool /local/spool --state dead
uploader ls --spool /local/spool --name 'ckpt/*' --json""",
)
@flags.spool_option
@click.option(
    "--state", type=click.Choice([state.value for state in State]), help="Only uploads in it."
)
@click.option("--name", "glob", help="Only names that match, as 'ckpt/*' (* matches / too).")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most so many, the oldest.")
@flags.json_option
@flags.log_options(logging.WARNING)
def ls(
    spool_path: str | None, state: str | None, glob: str | None, limit: int | None, as_json: bool
) -> ExitCode:
    """List uploads in the order in which they were spooled: id, state, size, name.

    A symlink shows its target, a failed attempt its error. With --json, one object a line.
    """
    with flags.open_for_reading(spool_path) as spool:
        for upload in spool.uploads(state=state, name_glob=glob, limit=limit or -1):
            click.echo(json.dumps(upload.as_json()) if as_json else render.upload_line(upload))
    return ExitCode.DONE
