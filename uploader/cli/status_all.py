"""Show every spool below a directory: a line each, and what a person has to see to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from uploader.cli import flags, render
from uploader.cli.dead_letters import dead_lines
from uploader.cli.every_spool import every_spool, gravest
from uploader.cli.exit_codes import ExitCode, of_error
from uploader.errors import UploaderError
from uploader.observe.log import say

if TYPE_CHECKING:
    from pathlib import Path

    from uploader.model import Status

HEADINGS = ("spool", "agent", "ready", "active", "dead", "waiting", "oldest", "destination")


def show_all(directory: str | None, *, as_json: bool) -> ExitCode:
    """Show every spool; return 0, or the gravest exit code of those that cannot be read."""
    found = every_spool(directory)
    statuses: list[Status] = []
    codes = [ExitCode.SPOOL] * len(found.unreadable)
    for path in found.spools:
        try:
            statuses.append(_status(path))
        except (UploaderError, OSError) as error:
            codes.append(of_error(error))
            say(render.printable(f"uploader: {path}: {flags.message_of(error)}"))
    for reason in found.unreadable:
        say(render.printable(f"uploader: cannot be looked into for spools: {reason}"))
    if as_json:
        for one in statuses:
            click.echo(json.dumps(one.as_json()))
    elif statuses:
        click.echo(_page(statuses))
    elif not codes:
        say(render.printable(f"no spools below {found.directory}"))
    return gravest(codes)


def _status(path: Path) -> Status:
    with flags.open_for_reading(str(path)) as spool:
        return spool.status()


def _page(statuses: list[Status]) -> str:
    rows = [HEADINGS, *(_row(one) for one in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)) for row in rows]
    for one in statuses:
        if one.refusal:
            lines += ["", f"{one.spool}: refused: {one.refusal}"]
        if one.dead:
            lines += ["", f"{one.spool}:", *dead_lines(one)]
    return render.printable("\n".join(line.rstrip() for line in lines))


def _row(status: Status) -> tuple[str, ...]:
    counts = {state.value: str(count) for state, count in status.counts.items()}
    age = status.oldest_ready_age
    return (
        status.spool,
        str(status.agent_pid or "-"),
        counts["ready"],
        counts["active"],
        counts["dead"],
        render.size_text(status.bytes_pending),
        "-" if age is None else render.span_text(age),
        status.destination,
    )
