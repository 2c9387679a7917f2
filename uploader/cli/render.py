"""Write what a spool holds, and what a command did, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.cli.dead_letters import dead_lines
from uploader.observe.words import (
    command_text,
    count_text,
    in_line,
    printable,
    size_text,
    span_text,
    to_go_text,
)
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uploader.model import Status, Upload
    from uploader.readback.verify import Verified
    from uploader.store.probe import Finding

__all__ = [
    "command_text",
    "count_text",
    "drained_text",
    "findings_text",
    "printable",
    "refused_text",
    "size_text",
    "span_text",
    "upload_line",
    "verified_text",
]


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
        waiting = to_go_text(status.bytes_pending, status.bytes_sent)
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
        lines.append(f"  {one.verdict.value:<8} {one.what:<{width}}  {in_line(one.detail)}")
        if one.verdict.value != "ok" and one.advice:
            lines.append(f"  {'':<8} {in_line(one.advice)}")
    return printable("\n".join(lines))
