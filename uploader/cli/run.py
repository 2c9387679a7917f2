"""Run the agent: upload as artifacts arrive, until told to stop or idle for long enough."""

from __future__ import annotations

import logging
from typing import Any

import click

from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode, of_ending
from uploader.cli.upload_flags import upload_options
from uploader.drain.serve import run_agent
from uploader.drain.shutdown import StopRequest
from uploader.drain.terms import Settings
from uploader.errors import SpoolBusyError

_log = logging.getLogger(__name__)


@click.command(cls=flags.Command, epilog="uploader run --spool /local/spool --workers 8")
@flags.spool_option
@flags.workers_option
@click.option(
    "--exit-when-idle",
    type=flags.Duration(),
    help="Leave after this long without work, as 30s, if no process has the spool open to put.",
)
@upload_options
@flags.log_options(logging.INFO)
def run(
    spool_path: str | None,
    workers: int,
    exit_when_idle: float | None,
    options: dict[str, Any],
) -> ExitCode:
    """Upload as artifacts arrive: the agent.

    One runs on a spool at a time. A training script that logs through ObjectStoreLogger starts it
    by itself; run it yourself as a sidecar or a service. SIGTERM or Ctrl-C ends it: steps under
    way get ten seconds, a second signal ends it at once, and nothing is lost either way.

    Exit codes: 0 when nothing remains to upload; 3 dead letters remain; 130 interrupted with work
    left. Where another agent or drain has the spool already: 2, and 0 with --exit-when-idle, since
    the one that runs will do the work.
    """
    stop = StopRequest()
    stop.install()
    with flags.open_spool(spool_path, options=options, producer=False) as spool:
        _log.info("agent for %s: uploads to %s", spool.path, spool.destination)
        try:
            ending = run_agent(
                spool, Settings(workers, until_empty=False), stop, exit_when_idle=exit_when_idle
            )
        except SpoolBusyError as error:
            if exit_when_idle is None:
                raise
            _log.info("%s: it does the work, this one leaves", error)
            return ExitCode.DONE
        status = spool.status()
        _log.info("agent leaves (%s): %d uploads to go", ending.value, status.pending)
    return of_ending(ending, status)
