"""Upload everything that is in a spool, and say by the exit code whether it arrived."""

from __future__ import annotations

import json
from typing import Any

import click

from uploader import clock
from uploader.cli import flags, render
from uploader.cli.ending_flags import ending_options, watching
from uploader.cli.exit_codes import ExitCode, of_ending
from uploader.cli.metrics_flags import metrics_of, metrics_options
from uploader.cli.upload_flags import upload_options
from uploader.drain.observer import Observers
from uploader.drain.serve import drain_spool
from uploader.drain.shutdown import StopRequest
from uploader.drain.terms import Deadline, Settings
from uploader.observe.log import NOTICE, say
from uploader.observe.progress import DrainProgress
from uploader.spool.layout import room_named

#: What `--all` says itself to the drain of each spool, and what is not for each.
OF_ALL = ("spool_path", "timeout", "every", "as_json")


@click.command(
    cls=flags.Command,
    epilog="uploader drain --spool /local/spool --timeout 25m\n"
    "uploader drain --all --spool /local/spools --timeout 25m",
)
@flags.spool_option
@click.option(
    "--timeout",
    type=flags.Duration(),
    help="Stop after this long, as 25m; else when all has arrived or is dead, however long the "
    "destination fails. What can still arrive in it goes first: what is nearly "
    "finished, then the newest.",
)
@ending_options
@flags.workers_option
@flags.all_option
@metrics_options
@upload_options
@flags.json_option
@flags.log_options(NOTICE)
def drain(
    *,
    spool_path: str | None,
    timeout: float | None,
    workers: int,
    every: bool,
    metrics: dict[str, Any],
    ends: dict[str, Any],
    options: dict[str, Any],
    as_json: bool,
) -> ExitCode:
    """Upload everything that is in the spool, then exit.

    The exit code says whether all of it arrived: 0 yes; 3 no, dead letters remain; 4 no, the
    timeout or the time of a preemption notice passed, and work remains, dead letters perhaps too;
    5 the destination refused; 130 interrupted. It may be
    killed and started again at any time: it goes on where it was. If an agent runs on the spool
    already, this waits for it. On a terminal bars show how far it is; elsewhere a line every 30
    seconds does.

    With --all, every spool below DIR is drained, a few at a time; by default the user's own. The
    exit code is the gravest of theirs (2, 6, 5, 3, 130, 4, 0), and --json has a line for each.
    """
    begun = clock.monotonic()
    deadline = Deadline(None if timeout is None else begun + timeout)
    if every:
        from uploader.cli.drain_all import How, drain_all  # what one spool needs is loaded sooner

        leave_out = (*OF_ALL, *options)
        how = How(flags.given(leave_out=leave_out), options, deadline, flags.logs_json())
        return drain_all(spool_path, how, as_json=as_json)
    stop = StopRequest()
    stop.install()
    settings = Settings(workers, deadline=deadline, grace=ends["grace"])
    with (
        flags.open_spool(spool_path, options=options, producer=False) as spool,
        metrics_of(spool, "drain", metrics) as reporting,
    ):
        with room_named(spool.path), DrainProgress(spool) as progress:
            watched = Observers([progress, reporting.observer])
            with watching(ends, deadline, watched) as observer:
                drained = drain_spool(spool, settings, stop, observer)
        ending, reason = drained.ending, drained.refusal
        status, arrived = spool.status(), progress.arrived()
        code = of_ending(ending, status)
        reporting.ended(code)
    if as_json:
        report = {"ending": ending.value, "reason": reason, "exit_code": int(code)}
        click.echo(json.dumps({**report, "status": status.as_json()}))
    if reason:
        say(render.refused_text(status, reason))
    say(render.drained_text(status, arrived, clock.monotonic() - begun))
    return code
