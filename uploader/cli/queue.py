"""Write the page that `status` shows: what waits, what is under way, what failed.

By example of Postfix's mailq and qshape. A spool that is well takes five lines; more are shown for
what a person should look at. Columns end where they can: names and errors stand last in a line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uploader import clock
from uploader.cli.dead_letters import dead_lines
from uploader.observe.speeds import foremost
from uploader.observe.words import (
    command_text,
    count_text,
    in_line,
    left_text,
    printable,
    shortened,
    size_text,
    span_text,
    to_go_text,
)
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uploader.model import InFlight, Queue, Status, Upload

FLIGHTS = 20  #: uploads under way that are listed; the rest is counted
LEAST_NAME = 12  #: columns that a name has on the narrowest terminal

_AGES = {60.0: "< 1 min", 300.0: "< 5 min", 3600.0: "< 1 h", 86400.0: "< 1 d", math.inf: "older"}


@dataclass(frozen=True)
class View:
    """How much room there is, and how fast it goes."""

    width: int | None = None  #: columns of the terminal; None: lines may be of any length
    flights: int = FLIGHTS  #: uploads under way that are listed
    speeds: Mapping[str, float] = field(default_factory=dict)  #: bytes per second, by upload id
    throughput: float = 0.0  #: bytes per second, of all together


def page(status: Status, queue: Queue, view: View) -> str:
    """Return the page, as text that can be shown anywhere."""
    blocks = [
        _head(status, view),
        _waiting_lines(status, queue, view),
        _flight_lines(status.in_flight, view),
        dead_lines(status),
    ]
    return printable("\n\n".join("\n".join(block) for block in blocks if block))


def _head(status: Status, view: View) -> list[str]:
    done = count_text(status.counts[State.DONE], "upload")
    lines = [
        f"spool        {status.spool}",
        f"destination  {status.destination}",
        f"agent        {_agent(status)}",
        f"arrived      {done}, {size_text(status.bytes_done)}{_other_ends(status)}",
        f"to go        {_to_go(status, view)}",
    ]
    if status.counts[State.DEAD]:
        dead = count_text(status.counts[State.DEAD], "upload")
        lines.append(f"dead         {dead}, {size_text(status.bytes_dead)}: see below")
    if status.refusal:
        lines.append(f"refused      {in_line(status.refusal)}")
    return lines


def _agent(status: Status) -> str:
    if status.agent_pid:
        return f"pid {status.agent_pid}, {count_text(status.agent_workers or 0, 'worker')}"
    start = command_text("drain", status.spool)
    return f"none; to upload what waits: {start}" if status.pending else "none"


def _other_ends(status: Status) -> str:
    ends = (State.SUPERSEDED, State.CANCELLED)
    return "".join(f"; {status.counts[one]:,} {one.value}" for one in ends if status.counts[one])


def _to_go(status: Status, view: View) -> str:
    if not status.pending:
        return "nothing"
    size = to_go_text(status.bytes_pending, status.bytes_sent)
    text = f"{count_text(status.pending, 'upload')}, {size}"
    if view.throughput and status.agent_pid:  # nobody goes on at the speed of one that left
        left = left_text(status.bytes_pending, view.throughput)
        text += f"; {size_text(view.throughput)}/s, {left} left"
    return text


def _waiting_lines(status: Status, queue: Queue, view: View) -> list[str]:
    if not status.counts[State.READY]:
        return []
    oldest = status.oldest_ready_age
    since = "" if oldest is None else f"; the oldest has waited {span_text(oldest)}"
    ages = queue.ages
    rows = [
        ["waiting", "all", *(_AGES[one.below] for one in ages)],
        ["uploads", f"{status.counts[State.READY]:,}"]
        + [_about(f"{one.uploads:,}", one.exact) for one in ages],
        ["bytes", size_text(sum(one.size for one in ages))]
        + [_about(size_text(one.size) if one.size else "0", one.exact) for one in ages],
    ]
    table = _columns(rows, "<" + ">" * (1 + len(ages)))
    return [*table, f"{_for_what(status, queue)}{since}", *_retry_lines(queue, view)]


def _about(text: str, exact: bool) -> str:
    return text if exact else f"~{text}"


def _for_what(status: Status, queue: Queue) -> str:
    """Say for what they wait: their turn, another upload, or another attempt."""
    most = queue.counted_to
    turn = max(0, status.counts[State.READY] - queue.held - queue.retries)
    at_most = "up to " if most in (queue.held, queue.retries) else ""
    kinds = [
        (f"{at_most}{turn:,}", turn, "for their turn"),
        (_at_least(queue.held, most), queue.held, "for an earlier version, or their target"),
        (_at_least(queue.retries, most), queue.retries, "for another attempt"),
    ]
    return ", ".join(f"{text} {what}" for text, number, what in kinds if number)


def _at_least(number: int, most: int) -> str:
    return f"{number:,} or more" if number == most else f"{number:,}"


def _retry_lines(queue: Queue, view: View) -> list[str]:
    now = clock.now()
    rows = [_retry_row(upload, now) for upload in queue.next_retries]
    if not rows:
        return []
    return _fitted(_columns([["retry", "attempt", "name and last error"], *rows], ">><"), view)


def _retry_row(upload: Upload, now: float) -> list[str]:
    wait = upload.not_before - now
    when = f"in {span_text(wait)}" if wait > 0 else "due"
    kind = upload.error_class.value if upload.error_class else "?"
    error = in_line(upload.error or "?")
    return [when, str(upload.attempts + 1), f"{upload.name}: {error} ({kind})"]


def _flight_lines(flights: Sequence[InFlight], view: View) -> list[str]:
    if not flights:
        return []
    shown = foremost(flights, view.flights)
    heading = ["under way", "of", "part", "speed", "left", "attempt", "name"]
    rows = [heading, *(_flight_row(one, view.speeds.get(one.id, 0.0)) for one in shown)]
    lines = _fitted(_columns(rows, ">>>>>><"), view)
    if len(flights) > len(shown):
        size = sum(one.size for one in flights) - sum(one.size for one in shown)
        lines.append(f"… and {len(flights) - len(shown):,} more, {size_text(size)}")
    return lines


def _flight_row(one: InFlight, speed: float) -> list[str]:
    percent = f"{100 * one.sent // one.size if one.size else 0} %"
    in_parts = one.parts_total > 1
    return [
        f"{size_text(one.sent)} {percent:>5}" if in_parts else "",
        size_text(one.size),
        f"{one.parts_done}/{one.parts_total}" if in_parts else "whole",
        f"{size_text(speed)}/s" if speed else "",
        left_text(one.size - one.sent, speed),
        str(one.attempt),
        one.name,
    ]


def _columns(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Return rows as lines; `align` has a letter for each column, `<` or `>`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _fitted(lines: list[str], view: View) -> list[str]:
    """Return lines that are no wider than the terminal; it is names that lose their middle."""
    if view.width is None:
        return lines
    begin = max(lines[0].rfind("name"), 0)
    room = max(LEAST_NAME, view.width - begin)
    return [line[:begin] + shortened(line[begin:], room) for line in lines]
