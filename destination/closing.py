"""Ends a training process's use of the spool: waits within a limit, then says what is left.

- Never without a limit, and never an error: at the end of a run there is nobody to catch it, and
  everything that was logged is durable.
- Nothing is said when everything arrived.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING

from destination.commands import drain_command, retry_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from uploader import Spool, Upload

#: seconds between looks at the spool; short beside the copy of one checkpoint
POLL_INTERVAL = 0.05

#: of the time, at most this part goes into looking: a long backlog takes long to read
POLL_SHARE = 0.1

#: a warning names this many objects and counts the rest
NAMES_SHOWN = 20


def wait_until_sent(
    spool: Spool, run: str, rank: int, timeout: float, between: Callable[[], None]
) -> None:
    """Wait until nothing of this run and rank is pending, for at most `timeout` seconds.

    `between` is called at each look.
    """
    deadline = time.monotonic() + timeout
    while (before := time.monotonic()) < deadline:
        if not spool.pending(run=run, rank=rank, limit=1):
            return
        between()
        looked = time.monotonic() - before
        pause = max(POLL_INTERVAL, looked / POLL_SHARE)
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))


def has_left(spool: Spool, run: str, rank: int) -> bool:
    """Tell whether something of this run and rank has not arrived: it is pending, or dead."""
    return bool(
        spool.pending(run=run, rank=rank, limit=1) or spool.dead_letters(run=run, rank=rank)
    )


def tell_what_is_left(spool: Spool, run: str, rank: int) -> None:
    """Warn of what is not at the destination, and print the commands that bring it there."""
    left = spool.pending(run=run, rank=rank)
    dead = spool.dead_letters(run=run, rank=rank)
    if not left and not dead:
        return
    sys.stderr.write(_commands(spool, dead))
    sys.stderr.flush()
    warnings.warn(_summary(spool, left, dead), RuntimeWarning, stacklevel=2)


def _commands(spool: Spool, dead: Sequence[Upload]) -> str:
    lines = []
    if dead:
        which = ["--all"] if len(dead) > NAMES_SHOWN else [upload.id for upload in dead]
        lines.append(f"To try again what failed: {retry_command(spool.path, which)}\n")
    lines.append(f"To upload what is left:   {drain_command(spool.path)}\n")
    return "".join(lines)


def _summary(spool: Spool, left: Sequence[Upload], dead: Sequence[Upload]) -> str:
    parts = []
    if left:
        parts.append(f"{_count(left)} not uploaded to {spool.destination} yet: {_names(left)}.")
        parts.append(_who_goes_on(spool))
    if dead:
        reasons = "; ".join(f"{upload.name}: {upload.error}" for upload in dead[:NAMES_SHOWN])
        parts.append(f"{_count(dead)} failed: {reasons}{_more(dead)}.")
    return " ".join(parts)


def _who_goes_on(spool: Spool) -> str:
    from uploader import agent_owner

    owner = agent_owner(spool.path)
    if owner is None:
        return "No agent is running."
    return f"The agent (process {owner.pid}) goes on with them."


def _count(uploads: Sequence[Upload]) -> str:
    return f"{len(uploads)} artifact{'' if len(uploads) == 1 else 's'}"


def _names(uploads: Sequence[Upload]) -> str:
    return ", ".join(upload.name for upload in uploads[:NAMES_SHOWN]) + _more(uploads)


def _more(uploads: Sequence[Upload]) -> str:
    return f" and {len(uploads) - NAMES_SHOWN} more" if len(uploads) > NAMES_SHOWN else ""
