"""Compare what the destination holds with what was uploaded."""

from __future__ import annotations

import json
import logging

import click

from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode
from uploader.observe.progress import counting_progress
from uploader.readback.verify import verify_spool
from uploader.store.opening import open_store


@click.command(cls=flags.Command, epilog="uploader verify --spool /local/spool --deep")
@flags.spool_option
@click.option("--deep", is_flag=True, help="Read every byte back, and take its checksum.")
@click.option("--name", "glob", default="*", help="Only names that match, as 'ckpt/*'.")
@flags.json_option
@flags.log_options(logging.WARNING)
def verify(spool_path: str | None, deep: bool, glob: str, as_json: bool) -> ExitCode:
    """Compare what the destination holds with what was uploaded.

    For each artifact, its newest upload that arrived: is the object there, is it this upload's,
    has it the size and the checksum, does a symlink point where it was logged to and lead to an
    object. What waits in the spool, or is a dead letter, is not looked at: see `uploader status`.

    Exit codes: 0 all as it should be; 3 something is missing or wrong; 5 the destination cannot be
    asked.
    """
    with flags.open_for_reading(spool_path) as spool:
        store = open_store(flags.place_of(spool))
        try:
            with counting_progress("verified") as on_checked:
                found = verify_spool(spool, store, deep=deep, name_glob=glob, on_checked=on_checked)
        finally:
            store.close()
        code = ExitCode.DEAD_LETTERS if found.problems else ExitCode.DONE
        if as_json:
            report = {
                "spool": str(spool.path),
                "destination": spool.destination,
                "deep": deep,
                "checked": found.checked,
                "problems": [problem.as_json() for problem in found.problems],
                "exit_code": int(code),
            }
            click.echo(json.dumps(report))
        else:
            click.echo(render.verified_text(found, spool.destination))
    return code
