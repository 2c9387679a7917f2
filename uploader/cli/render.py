"""Write what a spool holds as text for people."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from uploader.model import InFlight, Status, Upload
    from uploader.readback.verify import Verified
    from uploader.store.probe import Finding

DEAD_SHOWN = 10  #: dead letters listed before the rest is only counted

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")
_FOUR_DIGITS = 1000  #: the next unit is taken before a number has so many
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))


def size_text(size: float) -> str:
    """Return bytes as people write them: `512 bytes`, `3.4 GiB`."""
    power = 0
    while size >= _FOUR_DIGITS and power < len(_SIZES) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.0f} {_SIZES[0]}" if not power else f"{size:.1f} {_SIZES[power]}"


def span_text(seconds: float) -> str:
    """Return a duration as people write it: `4.2 s`, `3 h`."""
    return next(
        (f"{seconds / unit:.1f} {name}" for unit, name in _SPANS if seconds >= unit),
        f"{seconds:.1f} s",
    )


def count_text(number: int, what: str) -> str:
    """Return `1 upload`, `2 uploads`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def command_text(command: str, spool: str | Path, *arguments: str) -> str:
    """Return a command line that can be pasted into a shell."""
    return shlex.join(["uploader", command, "--spool", str(spool), *arguments])


def printable(text: str) -> str:
    """Return text that no terminal and no encoding of stdout can be hurt by."""
    encoding = sys.stdout.encoding or "utf-8"
    safe = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def upload_line(upload: Upload) -> str:
    """Return an upload as one line of `ls`."""
    arrow = f" -> {upload.target}" if upload.target else ""
    size = "symlink" if upload.size is None else size_text(upload.size)
    parts = [upload.id, f"{upload.state.value:<10}", f"{size:>10}", f"{upload.name}{arrow}"]
    if upload.error:
        parts.append(f"[{upload.error_class.value if upload.error_class else ''}: {upload.error}]")
    elif upload.state is State.READY and upload.attempts:
        parts.append(f"[{count_text(upload.attempts, 'attempt')} failed]")
    return printable("  ".join(parts)).replace("\n", " ")


def status_text(status: Status) -> str:
    """Return the page that `status` shows."""
    counts = "  ".join(f"{status.counts[state]} {state.value}" for state in State)
    lines = [
        f"spool        {status.spool}",
        f"destination  {status.destination}",
        f"agent        {_agent(status)}",
        f"uploads      {counts}",
        f"bytes        {_bytes(status)}",
    ]
    if status.refusal:
        lines.append(f"refused      {_in_line(status.refusal)}")
    if status.oldest_ready_age is not None:
        lines.append(f"oldest       has waited {span_text(status.oldest_ready_age)}")
    if status.throughput:
        lines.append(f"throughput   {size_text(status.throughput)}/s")
    lines += [_flight_line(one) for one in status.in_flight]
    return printable("\n".join(lines + dead_lines(status)))


def dead_lines(status: Status) -> list[str]:
    """Return the dead letters and the command that mends them; nothing if there are none."""
    if not status.dead:
        return []
    lines = [f"{count_text(len(status.dead), 'dead letter')}; the bytes are kept in the spool:"]
    lines += [
        f"  {one.id}  {one.name}: {one.error} ({one.error_class.value if one.error_class else '?'})"
        for one in status.dead[:DEAD_SHOWN]
    ]
    if len(status.dead) > DEAD_SHOWN:
        lines.append(f"  … all of them: {command_text('ls', status.spool, '--state', 'dead')}")
    retry = command_text("retry", status.spool, "--all")
    lines.append(f"  when the cause is gone: {retry} && {command_text('drain', status.spool)}")
    lines.append(f"  to give one up: {command_text('cancel', status.spool, status.dead[0].id)}")
    return lines


def refused_text(status: Status, reason: str) -> str:
    """Return what a drain says when the destination does not let it write."""
    return printable(
        f"uploader: the destination {status.destination} refused: {reason}. Nothing is lost; "
        f"when that is mended: {command_text('drain', status.spool)}"
    )


def drained_text(status: Status, arrived: tuple[int, int], seconds: float) -> str:
    """Return what a drain says at its end: what arrived, what is dead, what remains."""
    uploads, size = arrived
    what = f"{count_text(uploads, 'artifact')} ({size_text(size)})"
    lines = [f"uploaded {what} to {status.destination} in {span_text(seconds)}"]
    lines += dead_lines(status)
    if status.pending:
        waiting = size_text(status.bytes_pending + status.bytes_sent)
        lines.append(
            f"{count_text(status.pending, 'upload')} ({waiting}) to go; nothing is lost. "
            f"Go on with: {command_text('drain', status.spool)}"
        )
    return printable("\n".join(lines))


def verified_text(found: Verified, destination: str) -> str:
    """Return what a verification found."""
    names = count_text(found.checked, "artifact")
    if not found.problems:
        return f"{names} at {destination}: all as uploaded"
    lines = [f"  {one.name}: {one.problem}: {one.detail}" for one in found.problems]
    head = f"{names} at {destination}: {count_text(len(found.problems), 'problem')}"
    return printable("\n".join([head, *lines]))


def findings_text(findings: Sequence[Finding], destination: str) -> str:
    """Return what a check found: one line each, and below it what to do if it is not well."""
    width = max(len(finding.what) for finding in findings)
    lines = [destination]
    for one in findings:
        lines.append(f"  {one.verdict.value:<8} {one.what:<{width}}  {_in_line(one.detail)}")
        if one.verdict.value != "ok" and one.advice:
            lines.append(f"  {'':<8} {_in_line(one.advice)}")
    return printable("\n".join(lines))


def _in_line(text: str) -> str:
    return " ".join(text.split())


def _bytes(status: Status) -> str:
    sent = f", {size_text(status.bytes_sent)} of what is under way sent" if status.in_flight else ""
    return f"{size_text(status.bytes_pending)} to send{sent}, {size_text(status.bytes_done)} done"


def _agent(status: Status) -> str:
    if status.agent_pid:
        return f"pid {status.agent_pid}, {count_text(status.agent_workers or 0, 'worker')}"
    start = command_text("drain", status.spool)
    return f"none; to upload what waits: {start}" if status.pending else "none"


def _flight_line(one: InFlight) -> str:
    percent = 100 * one.sent // one.size if one.size else 0
    parts = f", part {one.parts_done} of {one.parts_total}" if one.parts_total > 1 else ""
    attempt = f", attempt {one.attempt}" if one.attempt > 1 else ""
    return f"  {one.name}  {percent} % of {size_text(one.size)}{parts}{attempt}"
