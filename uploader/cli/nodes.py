"""Show what nodes last said they hold: what a node that is gone took with it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click

from uploader import clock
from uploader.cli import flags, render
from uploader.cli.exit_codes import ExitCode
from uploader.cli.upload_flags import destination_options
from uploader.observe.log import say
from uploader.readback.nodes import NodeSaid, nodes_of
from uploader.store.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = 5  #: uploads named for each node, the newest; --json has all that the report has


@click.command(cls=flags.Command, epilog="uploader nodes --destination s3://bucket/runs")
@flags.spool_option
@flags.source_option
@destination_options
@flags.json_option
@flags.log_options(logging.WARNING)
def nodes(
    spool_path: str | None, destination: str | None, options: dict[str, Any], as_json: bool
) -> ExitCode:
    """Show what each node last said it holds.

    A spool with the option --node-report of `init` keeps a small object below .uploader-nodes/ at
    the destination, at most half a minute old while there is work that gets on. When a node is gone
    for good, its last report names what had not left it: the newest 1,000 uploads. With --json,
    each report on a line of its own.

    Exit codes: 0 no node holds anything, or none reports, which is said; 3 dead letters; 4 uploads
    had not arrived; 5 the destination cannot be asked.
    """
    with flags.spool_or_destination(spool_path, destination, options) as (_, place):
        store = open_store(place)
        try:
            found = list(nodes_of(store))
        finally:
            store.close()
    if not found:
        say(
            f"no node reports at {render.printable(place.url)}: it is not known what nodes hold. "
            "Spools report with: uploader init --node-report"
        )
    for one in found:
        text = json.dumps(one.report) if as_json else "\n".join(_lines(one))
        click.echo(text if as_json else render.printable(text))
    if any(one.pending for one in found):
        return ExitCode.WORK_REMAINS
    return ExitCode.DEAD_LETTERS if any(one.dead for one in found) else ExitCode.DONE


def _lines(one: NodeSaid) -> Iterator[str]:
    age = render.span_text(max(0.0, clock.now() - one.at))
    held = f"{render.count_text(one.pending, 'upload')} to go" if one.pending else "nothing to go"
    dead = f", {render.count_text(one.dead, 'dead letter')}" if one.dead else ""
    yield f"{one.report['node']}  {held}{dead}, said {age} ago  ({one.report['spool']})"
    named = one.report["pending"][:NAMES]
    for upload in named:
        size = upload["size"]
        yield f"  {upload['name']}  {'symlink' if size is None else render.size_text(size)}"
    if one.pending > len(named):
        yield f"  ... and {one.pending - len(named)} more"
