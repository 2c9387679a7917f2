"""Lets system calls of the real command fail, in all its processes, by strace.

What fails is the n-th call of a kind, in each process for itself: strace counts so. First the
command is run as it is, to learn which calls touch the spool or the destination.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: One line of strace: pid, name, arguments.
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


@cache
def why_not() -> str | None:
    """Say why nothing can be injected here; None if it can."""
    if not shutil.which("strace"):
        return "strace is missing: apt-get install strace"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tried.stderr.strip() or "strace fails" if tried.returncode else None


def recording(log: Path, calls: Sequence[str]) -> tuple[str, ...]:
    """Return what a command is run by, so that its calls are written down."""
    return (
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "300",
        "-o",
        str(log),
        "-e",
        f"trace={','.join(calls)}",
    )


def failing(call: str, error: str, when: int | str) -> tuple[str, ...]:
    """Return what a command is run by, so that the n-th such call fails; "3+": each from there."""
    inject = f"inject={call}:error={error}:when={when}"
    return (
        "strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", f"trace={call}",
        "-e", "signal=none", "-e", inject,
    )  # fmt: skip


def ordinals(log: Path, call: str, below: Sequence[Path]) -> list[int]:
    """Return which calls of this kind, counted in each process, touch what is below a folder."""
    folders = tuple(map(str, below))
    counts: dict[str, int] = {}
    found: set[int] = set()
    for line in log.read_text(errors="replace").splitlines():
        seen = _LINE.match(line)
        if not seen or seen[2] != call:
            continue
        counts[seen[1]] = counts.get(seen[1], 0) + 1
        if any(folder in seen[3] for folder in folders):
            found.add(counts[seen[1]])
    return sorted(found)
