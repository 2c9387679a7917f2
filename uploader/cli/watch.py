"""Spool files that appear in a directory, once they are complete."""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from uploader import url
from uploader.cli import flags
from uploader.cli.exit_codes import ExitCode
from uploader.errors import SpoolFullError
from uploader.observe.log import NOTICE, say
from uploader.watch.completeness import Rules
from uploader.watch.events import Events
from uploader.watch.intake import Intake
from uploader.watch.naming import PLACEHOLDERS, Naming
from uploader.watch.patterns import Patterns
from uploader.watch.tree import Tree
from uploader.watch.watcher import Findings, Watcher

if TYPE_CHECKING:
    from uploader.spool.spool import Spool

NAMED = 5  #: files that a line names; more are counted

_log = logging.getLogger(__name__)


@click.command(
    cls=flags.Command,
    epilog="""uploader watch --spool /local/spool out/ --pattern '*.pt' --name 'run7/{path}'
uploader watch --spool /local/spool out/ --pattern '*.csv' --overwrite
uploader watch --spool /local/spool out/ --once     # from cron, or at the end of a job""",
)
@flags.spool_option
@flags.destination_option
@click.argument("directory", metavar="DIR", type=click.Path(path_type=str, readable=False))
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="GLOB",
    help="Which files: '*.pt' at any depth, 'ckpt/*.pt' and 'ckpt/**/*.pt' by their path below "
    "DIR. May be given again. Hidden and temporary names (.x, x~, *.tmp, *.part and such) only "
    "where it names them, as '*.part'. Without it, all others.",
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="GLOB",
    help="Not these, nor what is in directories of such names. May be given again.",
)
@click.option(
    "--name",
    "template",
    default="{path}",
    show_default=True,
    metavar="TEMPLATE",
    help=f"What an artifact is called. There are {PLACEHOLDERS}.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="A file that changed is spooled again, and replaces what was uploaded. Without it, the "
    "change is told once, and nothing is replaced.",
)
@click.option("--once", is_flag=True, help="Spool what is there and complete now, then exit.")
@click.option(
    "--settle",
    type=flags.Duration(),
    default="2s",
    show_default=True,
    help="Take a file for complete that was left alone for so long: an empty one, and any on a "
    "file system that other machines write to. Other files are, as soon as they are closed.",
)
@click.option(
    "--settle-open",
    type=flags.Duration(),
    default="30s",
    show_default=True,
    help="The same, of a file that a process still has open for writing.",
)
@click.option(
    "--rescan",
    type=flags.Duration(),
    help="Look through all of DIR at least so often; else every 30s, and every 2s where the kernel "
    "does not tell what happens.",
)
@click.option(
    "--when-full",
    type=click.Choice(["raise", "block"]),
    default="block",
    show_default=True,
    help="With --once, when the spool is full: end with exit code 7, or wait for room.",
)
@click.option(
    "--agent",
    type=click.Choice(["auto", "external"]),
    default="auto",
    show_default=True,
    help="Start an agent where none runs, or leave the uploading to others.",
)
@flags.workers_option
@flags.limit_options
@flags.origin_options
@flags.log_options(logging.INFO)
def watch(
    *,
    spool_path: str | None,
    destination: str | None,
    limits: dict[str, int | None],
    directory: str,
    once: bool,
    when_full: str,
    **how: Any,
) -> ExitCode:
    """Spool files that appear in DIR or below it, and print the id of each upload.

    For programs that write files and know nothing of this one. A file is spooled when it is
    complete: closed by all who write to it, renamed into place, or left alone for long enough.
    What was spooled is known from then on, also after a restart, and is never spooled again.
    Symlinks are not followed, and nothing outside DIR is read.

    It goes on until SIGTERM or Ctrl-C. Then it looks once more, spools what is complete, names what
    is still being written, and leaves; a second one ends it at once. When the spool is full it
    waits for room, and says so. DIR may come later.

    Exit codes: 0, also if a file is still being written; 2 if a complete one is not in the spool as
    it is now; 7 if the spool was full at the end. Each such file is named.
    """
    if once and not os.path.isdir(directory):
        raise click.UsageError(f"{directory} is no directory")
    with flags.open_spool(spool_path, destination, {}, **limits) as spool:
        watcher = _watcher(spool, directory, **how)
        if once:
            findings = watcher.once(wait_for_room=when_full == "block")
        else:
            asked: list[int] = []
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, partial(_leave, watcher, asked))
            _log.info("watching %s for %s", directory, spool.path)
            findings = watcher.run()
        if how["agent"] == "auto":  # for what the last look found
            _see_to_agent(spool, how["workers"])
        return _ended(findings, watcher.tree)


def _watcher(
    spool: Spool,
    directory: str,
    *,
    patterns: tuple[str, ...],
    excluded: tuple[str, ...],
    template: str,
    overwrite: bool,
    settle: float,
    settle_open: float,
    rescan: float | None,
    agent: str,
    workers: int,
    origin: dict[str, Any],
) -> Watcher:
    with flags.arguments_blamed(ValueError):
        naming = Naming(template, **origin)
        tree = Tree(directory, Patterns.of(patterns, excluded), _apart(spool))
    if f"{tree.root}/".startswith(f"{os.path.realpath(spool.path)}/"):
        raise click.UsageError(f"{directory} is inside the spool itself")
    return Watcher(
        tree,
        Intake(spool, tree, naming, overwrite, origin["run"], origin["rank"], _tell),
        Events(),
        rules=Rules(settle, settle_open),
        rescan=rescan,
        tend=partial(_see_to_agent, spool, workers) if agent == "auto" else lambda: False,
    )


def _apart(spool: Spool) -> list[str]:
    """Return the directories that must not be watched: what is put there comes from here."""
    destination = url.parse(spool.destination)
    there = [destination.path] if destination.scheme == "file" else []
    return [str(spool.path), *there]


def _see_to_agent(spool: Spool, workers: int) -> bool:
    """Start an agent if there is work, and none runs; tell whether that was tried."""
    if not spool.pending(limit=1):
        return False
    from subprocess import SubprocessError

    from uploader.drain.agent import start_agent

    try:
        return start_agent(spool.path, workers=workers)
    except (OSError, SubprocessError) as error:
        _log.warning("no agent could be started (%s); what is spooled is safe", error)
        return True


def _tell(upload_id: str) -> None:
    """Print an id; that nobody reads any more must not end the watch."""
    try:
        print(upload_id, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  for the rest of this process


def _leave(watcher: Watcher, asked: list[int], number: int, _frame: object) -> None:
    asked.append(number)
    if len(asked) > 1:
        raise KeyboardInterrupt
    watcher.leave()


def _ended(findings: Findings, tree: Tree) -> ExitCode:
    if findings.unfinished:
        written = _some(sorted(findings.unfinished), tree)
        say(f"uploader: still being written, not spooled: {written}")
    if findings.full:
        raise SpoolFullError(findings.full)
    if findings.refused:
        refused = _some(sorted(findings.refused), tree)
        say(f"uploader: not spooled as they are: {refused}", logging.ERROR)
        return ExitCode.USAGE
    _log.log(NOTICE, "%d files were spooled", findings.spooled)
    return ExitCode.DONE


def _some(paths: list[str], tree: Tree) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(map(tree.shown, paths[:NAMED])) + more
