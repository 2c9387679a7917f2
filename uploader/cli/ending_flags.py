"""Define the flags that say how `run` and `drain` come to their end before they are done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from uploader.cli import flags
from uploader.drain.observer import Observer, Observers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.drain.notice import Source
    from uploader.drain.terms import Deadline

F = TypeVar("F", bound="Callable[..., Any]")


class NoticeSource(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """Who tells that the machine is to be taken away: `aws`, `gcp`, `file:PATH`."""

    name = "source"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Source:
        """Return the source, or fail with what is expected."""
        if not isinstance(value, str):
            return cast("Source", value)
        from uploader.drain.notice import Source  # a start without it takes less

        try:
            return Source.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def ending_options(command: F) -> F:
    """Add `--grace` and `--preempt-notice`; as keyword `ends`, see `watching`."""
    options = (
        click.option(
            "--grace",
            type=flags.Duration(),
            envvar="UPLOADER_GRACE",
            help="After SIGTERM go on for up to this long, as 50s, with what can still arrive in "
            "it, newest first. Else $UPLOADER_GRACE; without either, only what is under way gets "
            "up to 10s.",
        ),
        click.option(
            "--preempt-notice",
            "notice",
            type=NoticeSource(),
            metavar="aws|gcp|file:PATH",
            envvar="UPLOADER_PREEMPT_NOTICE",
            help="Watch for the notice that this machine is to be taken away: of EC2's or Compute "
            "Engine's metadata service, or a file that appears (its text: when, as 2m or an ISO "
            "time; empty: in 30s). Then what is nearly finished and newest goes first, until 3s "
            "before the end; exit code 4 if work remains. Else $UPLOADER_PREEMPT_NOTICE.",
        ),
    )
    return flags.collected(command, "ends", options)


@contextmanager
def watching(ends: dict[str, Any], deadline: Deadline, *others: Observer) -> Iterator[Observer]:
    """Have `deadline` brought forward by a notice; yield whom to tell what is done."""
    source: Source | None = ends["notice"]
    if source is None:
        yield Observers(others)
        return
    from uploader.drain.notice import NoticeWatch

    with NoticeWatch(source, deadline) as watch:
        yield Observers([watch, *others])
