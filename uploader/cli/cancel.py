"""Give up on uploads."""

from __future__ import annotations

import logging

import click

from uploader.cli import flags, render
from uploader.cli.completion import names_in
from uploader.cli.exit_codes import ExitCode
from uploader.observe.log import say
from uploader.spool.ownership import agent_owner
from uploader.state import State


@click.command(cls=flags.Command, epilog="uploader cancel --spool /local/spool ckpt/ep1.pt")
@flags.spool_option
@click.argument(
    "selectors",
    metavar="[ID|NAME]...",
    nargs=-1,
    shell_complete=names_in(State.READY, State.ACTIVE, State.DEAD),
)
@click.option("--all", "everything", is_flag=True, help="Everything that has not arrived.")
@flags.log_options(logging.WARNING)
def cancel(spool_path: str | None, selectors: tuple[str, ...], everything: bool) -> ExitCode:
    """Give up on uploads that wait, are under way, or are dead letters, by id or name.

    Their bytes are removed from the spool. One that is under way is shown as active until the
    agent, or where none runs the next drain, has stopped it; it may still arrive if that was its
    last step.
    """
    flags.require_selection(selectors, everything)
    with flags.open_for_reading(spool_path) as spool, flags.arguments_blamed(KeyError):
        chosen = spool.cancel(*selectors, all=everything)
        for upload in chosen:
            click.echo(render.upload_line(upload))
        cut_off = any(upload.state is State.ACTIVE for upload in chosen)
        if cut_off and agent_owner(spool.path) is None:
            stop_them = render.command_text("drain", spool.path)
            say(f"what a kill cut off is stopped, and removed there, by: {stop_them}")
    return ExitCode.DONE
