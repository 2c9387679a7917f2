"""Show what waits, what is under way, and what failed."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import TYPE_CHECKING

import click

from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from uploader.spool.spool import Spool

CLEAR = "\033[H\033[J"  #: to the corner of the terminal, and clear what follows

_pause = threading.Event()


@click.command(cls=flags.Command, epilog="uploader status --spool /local/spool --watch")
@flags.spool_option
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=flags.Duration(),
    default=2.0,
    show_default="2s",
    help="With --watch: the time between two looks.",
)
@flags.json_option
@flags.log_options(logging.WARNING)
def status(spool_path: str | None, watch: bool, interval: float, as_json: bool) -> ExitCode:
    """Show counts, bytes, the age of the oldest upload, what is under way, and dead letters.

    With --watch and --json, one JSON object a line.
    """
    with flags.open_for_reading(spool_path) as spool:
        _show(spool, as_json)
        while watch:
            _pause.wait(interval)
            if sys.stdout.isatty() and not as_json:
                click.echo(CLEAR, nl=False)
            _show(spool, as_json)
    return ExitCode.DONE


def _show(spool: Spool, as_json: bool) -> None:
    now = spool.status()
    click.echo(json.dumps(now.as_json()) if as_json else render.status_text(now))
