"""Measures what the imports add to the start of a Python process."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.measure import Peer, Result, Target, take_turns

ROUNDS = 15
LIMIT = 100.0  #: milliseconds over bare Python

BARE = "pass"
STATEMENTS = ("import destination", "import uploader")
#: What the first use of a spool loads, once, in Event.INIT. For information.
FIRST_USE = "from uploader import Spool"


def run(rounds: int = ROUNDS) -> Result:
    """Start Python with each statement in turns."""
    series = take_turns(
        "start of Python",
        [Peer(text, lambda text=text: _start(text)) for text in (BARE, *STATEMENTS, FIRST_USE)],  # type: ignore[misc]
        rounds,
    )
    result = Result("imports")
    result.add(series)
    result.targets = [
        Target(f"{one.name} over bare Python", one.over(series[0]) * 1e3, LIMIT, "ms")
        for one in series
        if one.name in STATEMENTS
    ]
    return result


def _start(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True)
