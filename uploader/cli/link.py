"""Spool a symlink from one artifact name to another."""

from __future__ import annotations

import logging
from typing import Any

import click

from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode
from uploader.cli.waiting import wait_for


@click.command(
    cls=flags.Command,
    epilog="uploader link --spool /local/spool --overwrite ckpt/ep1.pt ckpt/latest",
)
@flags.spool_option
@flags.destination_option
@click.argument("existing")
@click.argument("name")
@flags.overwrite_option
@flags.waiting_options
@flags.origin_options
@flags.log_options(logging.WARNING)
def link(
    *,
    spool_path: str | None,
    destination: str | None,
    existing: str,
    name: str,
    overwrite: bool,
    wait: bool,
    timeout: float | None,
    origin: dict[str, Any],
) -> ExitCode:
    """Spool a symlink NAME to the artifact EXISTING, and print the upload's id.

    It becomes visible at the destination after the uploads of EXISTING that were spooled before
    it, and never points to something that is not there.
    """
    with flags.open_spool(spool_path, destination, {}) as spool:
        with flags.arguments_blamed(ValueError, OSError):
            upload_id = spool.put_symlink(existing, name, overwrite=overwrite, **origin)
        click.echo(upload_id)
        if wait:
            wait_for(spool, [upload_id], timeout)
    return ExitCode.DONE
