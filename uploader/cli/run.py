"""Run the agent: upload as artifacts arrive, until told to stop or idle for long enough."""

from __future__ import annotations

import logging
from typing import Any

import click

from uploader.cli import flags
from uploader.cli.ending_flags import ending_options, watching
from uploader.cli.exit_codes import ExitCode, of_ending
from uploader.cli.metrics_flags import metrics_of, metrics_options
from uploader.cli.remaining import remaining_text
from uploader.cli.upload_flags import upload_options
from uploader.drain.serve import run_agent
from uploader.drain.shutdown import StopRequest
from uploader.drain.terms import Settings
from uploader.errors import SpoolBusyError
from uploader.observe.agent_log import AgentLog
from uploader.observe.log import NOTICE
from uploader.spool.layout import room_named

_log = logging.getLogger(__name__)


@click.command(cls=flags.Command, epilog="uploader run --spool /local/spool --workers 8")
@flags.spool_option
@flags.workers_option
@ending_options
@click.option(
    "--exit-when-idle",
    type=flags.Duration(),
    help="Leave after this long without work, as 30s, if no process has the spool open to put.",
)
@metrics_options
@upload_options
@flags.log_options(logging.INFO)
def run(
    spool_path: str | None,
    workers: int,
    exit_when_idle: float | None,
    *,
    metrics: dict[str, Any],
    ends: dict[str, Any],
    options: dict[str, Any],
) -> ExitCode:
    """Upload as artifacts arrive: the agent.

    One runs on a spool at a time. A training script that logs through ObjectStoreLogger starts it
    by itself; run it yourself as a sidecar or a service. SIGTERM ends it: what is under way and
    can arrive within ten seconds is finished, or with --grace all that can arrive within that, and
    what remains is said. Ctrl-C has it finish only the steps under way, and a second signal ends
    it at once. Nothing is lost in any case.

    Log lines go to stderr, and to SPOOL/agent.log: at 10 MiB it becomes agent.log.1, of five kept.

    Exit codes: 0 when nothing remains to upload; 3 dead letters remain; 4 work remains at the
    time that a preemption notice named; 130 interrupted with work left. Where another agent or
    drain has the spool already: 2, and 0 with --exit-when-idle, since the one that runs will do
    the work.
    """
    stop = StopRequest()
    stop.install()
    with (
        flags.open_spool(spool_path, options=options, producer=False) as spool,
        metrics_of(spool, "run", metrics) as reporting,
    ):
        agent_log = AgentLog(spool.layout)
        _log.info("agent for %s: uploads to %s", spool.path, spool.destination)
        settings = Settings(workers, until_empty=False, grace=ends["grace"])
        try:
            with (
                room_named(spool.path),
                watching(ends, settings.deadline, reporting.observer, agent_log) as observer,
            ):
                ending = run_agent(
                    spool, settings, stop, exit_when_idle=exit_when_idle, observer=observer
                )
        except SpoolBusyError as error:
            if exit_when_idle is None:
                raise
            _log.info("%s: it does the work, this one leaves", error)
            return ExitCode.DONE
        status = spool.status()
        _log.log(NOTICE, "agent leaves (%s): %s", ending.value, remaining_text(spool, status))
        code = of_ending(ending, status)
        reporting.ended(code)
    return code
