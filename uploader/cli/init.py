"""Make a spool, and say where it uploads to."""

from __future__ import annotations

import logging
from typing import Any

import click

from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode
from uploader.cli.upload_flags import upload_options
from uploader.observe.log import say


@click.command(
    cls=flags.Command,
    epilog="uploader init --spool /local/spool --destination file:///mnt/artifacts",
)
@flags.spool_option
@flags.destination_option
@flags.limit_options
@upload_options
@flags.log_options(logging.WARNING)
def init(
    spool_path: str | None,
    destination: str | None,
    limits: dict[str, Any],
    options: dict[str, Any],
) -> ExitCode:
    """Make a spool, and say where it uploads to.

    The spool is a directory on a local disk of this machine, and belongs to one destination, which
    it remembers together with the options given here. Again with the same destination it changes
    the options that are given, and nothing else. Without --spool it is made in your state
    directory; its path is printed.
    """
    if destination is None:
        raise click.UsageError("say where to upload to: --destination URL")
    with flags.open_spool(spool_path, destination, options, producer=False, **limits) as spool:
        click.echo(spool.path)
        say(f"this spool uploads to {spool.destination}")
    return ExitCode.DONE
