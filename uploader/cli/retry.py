"""Put dead letters back to ready."""

from __future__ import annotations

import logging

import click

from uploader.cli import flags, render
from uploader.cli.completion import names_in
from uploader.cli.exit_codes import ExitCode
from uploader.observe.log import say
from uploader.spool.ownership import agent_owner
from uploader.state import State


@click.command(
    cls=flags.Command,
    epilog="uploader retry --spool /local/spool --all && uploader drain --spool /local/spool",
)
@flags.spool_option
@click.argument("selectors", metavar="[ID|NAME]...", nargs=-1, shell_complete=names_in(State.DEAD))
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@flags.log_options(logging.WARNING)
def retry(spool_path: str | None, selectors: tuple[str, ...], everything: bool) -> ExitCode:
    """Put dead letters back to ready, by id or name; dead symlinks to them come along.

    One that a newer version of its name has replaced meanwhile ends as superseded instead.
    """
    flags.require_selection(selectors, everything)
    with flags.open_for_reading(spool_path) as spool:
        with flags.arguments_blamed(KeyError):
            chosen = spool.retry(*selectors, all=everything)
        for upload in chosen:
            click.echo(render.upload_line(upload))
        if chosen and agent_owner(spool.path) is None:
            upload_them = render.command_text("drain", spool.path)
            say(f"nobody uploads from this spool now; to upload them: {upload_them}")
    return ExitCode.DONE
