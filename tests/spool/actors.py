"""Be the other process: what a training rank beside this one does, all at the same moment."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from uploader import Spool

TOGETHER = 20.0  #: seconds for which one waits for the others

_barrier: Any = None


@contextmanager
def ranks(count: int) -> Iterator[Callable[..., list[str]]]:
    """Start so many processes; yield what has all of them do one thing at once.

    Each answers with "ok", or with the name of what it raised.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ProcessPoolExecutor(count, context, _meet_at, (barrier,)) as pool:

        def all_do(deed: Callable[..., None], *arguments: Any) -> list[str]:
            futures = [pool.submit(_outcome, deed, rank, *arguments) for rank in range(count)]
            return sorted(future.result(timeout=50) for future in futures)

        yield all_do


def open_spool(rank: int, folder: Path) -> None:
    """Open, and make if it is the first, a spool; put one artifact into it."""
    _together()
    with Spool(folder / "spool", (folder / "remote").as_uri()) as spool:
        spool.put_file(f"rank-{rank}", folder / "source")


def put(rank: int, folder: Path, name: str) -> None:
    """Put a file under a name, into a spool that is there."""
    with Spool(folder / "spool") as spool:
        _together()
        spool.put_file(name.format(rank=rank), folder / "source")


def _together() -> None:
    try:
        _barrier.wait(TOGETHER)
    except BrokenBarrierError:  # one has failed and will not come; it says itself why
        _barrier.reset()


def _meet_at(barrier: Any) -> None:
    global _barrier  # noqa: PLW0603  one for each process
    _barrier = barrier


def _outcome(deed: Callable[..., None], *arguments: Any) -> str:
    try:
        deed(*arguments)
    except Exception as error:  # noqa: BLE001  it is the answer
        traceback.print_exc()  # to be read where it was not expected
        return type(error).__name__
    return "ok"
