"""Remove what unfinished uploads left, and forget old rows."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

import click

from uploader import clock
from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode
from uploader.spool.layout import open_lock, try_lock
from uploader.spool.recovery import sweep
from uploader.spool.retention import reap
from uploader.state import HOLDS_BYTES
from uploader.store.opening import open_store

if TYPE_CHECKING:
    from uploader.spool.spool import Spool

OLDER_THAN = "7d"  #: other nodes upload there too, and theirs are known by age only


@click.command(cls=flags.Command, epilog="uploader gc --spool /local/spool --older-than 1d")
@flags.spool_option
@click.option(
    "--older-than",
    type=flags.Duration(),
    default=OLDER_THAN,
    show_default=True,
    help="Remove unfinished objects at the destination only if they are older. Other nodes may "
    "upload there too: name a time in which any of their uploads has certainly ended.",
)
@flags.json_option
@flags.log_options(logging.WARNING)
def gc(spool_path: str | None, older_than: float, as_json: bool) -> ExitCode:
    """Remove what unfinished uploads left at the destination, and forget old rows of the spool.

    What uploads of this spool still need is never removed, nor a dead letter. Files in the spool
    that no upload needs are swept as well, unless an agent runs: it does that itself. Finished
    uploads are forgotten after the spool's --keep-done.
    """
    with flags.open_for_reading(spool_path) as spool:
        removed = _sweep_destination(spool, older_than)
        reaped = reap(spool.ledger, clock.now(), spool.options.keep_done)
        swept = _sweep_spool(spool)
    if as_json:
        click.echo(json.dumps({"removed": removed, "reaped": reaped, "swept": swept}))
        return ExitCode.DONE
    for name in removed:
        click.echo(f"removed at the destination: {render.printable(name)}")
    click.echo(f"{render.count_text(len(removed), 'unfinished object')} removed at the destination")
    click.echo(f"{render.count_text(reaped, 'finished upload')} forgotten")
    in_spool = "an agent runs and sees to it" if swept is None else f"{swept} removed"
    click.echo(f"files in the spool that no upload needs: {in_spool}")
    return ExitCode.DONE


def _sweep_destination(spool: Spool, older_than: float) -> list[str]:
    states = ", ".join(f"'{state.value}'" for state in sorted(HOLDS_BYTES))
    live = spool.ledger.select(f"WHERE state IN ({states}) AND session IS NOT NULL")
    store = open_store(flags.place_of(spool))
    try:
        return store.sweep({upload.session for upload in live if upload.session}, older_than)
    finally:
        store.close()


def _sweep_spool(spool: Spool) -> int | None:
    """Sweep as the owner of the supervisor's lock; None if a supervisor has it.

    The lock is taken without a note of who has it: an agent that starts meanwhile waits, where it
    would leave if it saw another one.
    """
    lock = open_lock(spool.layout.supervisor_lock)
    try:
        return sweep(spool.layout, spool.ledger) if try_lock(lock) else None
    finally:
        os.close(lock)
