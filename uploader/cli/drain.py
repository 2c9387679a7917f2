"""Upload everything that is in a spool, and say by the exit code whether it arrived."""

from __future__ import annotations

import json
from typing import Any

import click

from uploader import clock
from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode, of_ending
from uploader.cli.upload_flags import upload_options
from uploader.drain.serve import drain_spool
from uploader.drain.shutdown import StopRequest
from uploader.drain.terms import Settings
from uploader.observe.log import NOTICE, say
from uploader.observe.progress import DrainProgress


@click.command(cls=flags.Command, epilog="uploader drain --spool /local/spool --timeout 25m")
@flags.spool_option
@click.option(
    "--timeout",
    type=flags.Duration(),
    help="Stop after this long, as 25m; what can still arrive in it is preferred.",
)
@flags.workers_option
@upload_options
@flags.json_option
@flags.log_options(NOTICE)
def drain(
    spool_path: str | None,
    timeout: float | None,
    workers: int,
    options: dict[str, Any],
    as_json: bool,
) -> ExitCode:
    """Upload everything that is in the spool, then exit.

    The exit code says whether all of it arrived: 0 yes; 3 dead letters remain; 4 the timeout
    passed; 5 the destination refused; 130 interrupted. It may be killed and started again at any
    time: it goes on where it was. If an agent runs on the spool already, this waits for it.
    """
    begun = clock.monotonic()
    deadline = None if timeout is None else begun + timeout
    stop = StopRequest()
    stop.install()
    with flags.open_spool(spool_path, options=options, producer=False) as spool:
        with DrainProgress(spool) as progress:
            drained = drain_spool(spool, Settings(workers, deadline=deadline), stop, progress.tick)
        ending, reason = drained.ending, drained.refusal
        status, arrived = spool.status(), progress.arrived()
    code = of_ending(ending, status)
    if as_json:
        report = {"ending": ending.value, "reason": reason, "exit_code": int(code)}
        click.echo(json.dumps({**report, "status": status.as_json()}))
    if reason:
        say(render.refused_text(status, reason))
    say(render.drained_text(status, arrived, clock.monotonic() - begun))
    return code
