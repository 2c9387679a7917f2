"""Show what waits, what is under way, and what failed."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import TYPE_CHECKING

import click

from uploader import clock
from uploader.cli import flags, queue
from uploader.cli.dead_letters import LOOKED_AT
from uploader.cli.exit_codes import ExitCode
from uploader.observe.speeds import Speed, Speeds
from uploader.spool.queue import queue_of
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from uploader.model import Queue, Status
    from uploader.spool.spool import Spool

BESIDE_FLIGHTS = 14  #: lines of the page that the uploads under way leave to all else
LEAST_FLIGHTS = 3  #: uploads that are listed on the lowest terminal

_pause = threading.Event()


@click.command(
    cls=flags.Command,
    epilog="""uploader status --spool /local/spool
uploader status --spool /local/spool --watch --interval 5s
uploader status --spool /local/spool --json | jq .counts""",
)
@flags.spool_option
@click.option(
    "--watch", is_flag=True, help="Show it again and again, in place on a terminal, until Ctrl-C."
)
@click.option(
    "--interval",
    type=flags.Duration(),
    default="2s",
    show_default=True,
    help="With --watch: the time between two looks, in seconds, or as 500ms, 1m.",
)
@flags.all_option
@flags.json_option
@flags.log_options(logging.WARNING)
def status(
    spool_path: str | None, watch: bool, interval: float, every: bool, as_json: bool
) -> ExitCode:
    """Show what waits and for how long, what is under way and how fast, and dead letters.

    A spool that is well takes five lines. What waits is counted by age; what failed and will be
    tried again is shown with its last error. Each dead letter stands with its reason and the
    command that mends it. A number with ~ before it is a share of a sum that is exact.

    With --watch and --json, one JSON object a line. With --all, a line for every spool below DIR
    (by default the user's own), and below them what is dead.
    """
    if every:
        if watch:
            raise click.UsageError("--watch shows one spool; leave out --all, or name one")
        from uploader.cli.status_all import show_all

        return show_all(spool_path, as_json=as_json)
    with flags.open_for_reading(spool_path) as spool:
        if not watch:
            _show(spool, as_json)
        else:
            _watch(spool, interval, as_json)
    return ExitCode.DONE


def _watch(spool: Spool, interval: float, as_json: bool) -> None:
    if not as_json and sys.stdout.isatty():
        from uploader.cli.live import can_draw, drawing

        if can_draw():
            looks = _Looks(spool)
            with drawing() as terminal:
                while True:
                    terminal.draw(looks.look())
                    terminal.wait(interval)
    while True:
        _show(spool, as_json)
        sys.stdout.flush()
        _pause.wait(interval)


def _show(spool: Spool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(spool.status().as_json()))
        return
    now, waiting = _look(spool)
    width = None
    if sys.stdout.isatty():
        import shutil  # slow to load

        width = shutil.get_terminal_size().columns
    view = queue.View(width=width, speeds=now.speeds, throughput=now.throughput)
    click.echo(queue.page(now, waiting, view))


def _look(spool: Spool) -> tuple[Status, Queue]:
    return spool.status(dead=LOOKED_AT), queue_of(spool.ledger, clock.now())


class _Looks:
    """One look after another, and how much was sent between them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._each, self._all = Speeds(), Speed()

    def look(self) -> Callable[[int, int], str]:
        """Look; return what makes a page of it for a terminal of so many columns and lines."""
        now, waiting = _look(self._spool)
        at = clock.monotonic()
        speeds = {**now.speeds, **self._each.look(at, now.in_flight)}
        (sent,) = self._spool.ledger.figures("parts_sent")[0]
        across = self._all.look(at, now.bytes_done + sent) or now.throughput

        def page(columns: int, lines: int) -> str:
            shown = max(LEAST_FLIGHTS, lines - BESIDE_FLIGHTS - min(now.counts[State.DEAD], 8))
            return queue.page(now, waiting, queue.View(columns, shown, speeds, across))

        return page
