"""Runs the demo: `uploader demo`, or `python -m destination.demo [--dir DIR] [--picture FILE]`.

Exit codes: 0 everything arrived; 1 something is missing, wrong or too much, or the play broke off;
130 interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from destination.demo.processes import DemoError
from destination.demo.report import table
from destination.demo.scenario import Scenario
from destination.demo.verdict import judge
from destination.demo.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

#: exit code, as the command line's
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the demo, show what came of it, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.dir and options.dir.exists() and any(options.dir.iterdir()):
        parser.error(f"{options.dir} is not empty; the demo needs a new folder")
    root = options.dir or Path(tempfile.mkdtemp(prefix="uploader-demo-"))
    workspace = Workspace(root.absolute())
    print(f"Training in {workspace.root}, uploading to {workspace.url}\n")
    scenario = Scenario(workspace, _Narrator())
    try:
        scenario.play()
        good = _show(scenario, options.picture.absolute())
    except KeyboardInterrupt:
        print("\nINTERRUPTED", file=sys.stderr)
        return INTERRUPTED
    except DemoError as error:
        print(f"\nBROKEN OFF: {error}", file=sys.stderr)
        good = False
    if good and options.dir is None:
        shutil.rmtree(workspace.root)
    else:
        print(f"The files are in {workspace.root}")
    return 0 if good else 1


def _show(scenario: Scenario, picture: Path) -> bool:
    from destination.demo.picture import draw  # matplotlib takes a second: not before the start

    verdict = judge(scenario.workspace)
    print("\n" + table(scenario, verdict))
    draw(scenario, verdict, picture)
    print(f"Picture: {picture}")
    for fault in verdict.faults:
        print(f"FAULT: {fault}")
    print(_verdict_line(len(verdict.faults)))
    return verdict.good


def _verdict_line(faults: int) -> str:
    if faults:
        return f"NOT GOOD: {faults} faults."
    return "GOOD: all that was logged is at the destination, byte for byte, nothing else."


class _Narrator:
    """Prints each thing that happens with the seconds since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="uploader demo", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, help="a new folder to work in, kept (default: a temporary one)"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("uploader-demo.png"), help="where to draw it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
