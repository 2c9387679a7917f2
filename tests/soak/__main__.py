"""Soaks for as long as asked, in rounds, each with a spool of its own; see `scripts/soak`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.outcome import Outcome
from tests.soak.rounds import KINDS, hold

ROUND = 300.0  #: seconds; a spool that went on for hours would have more to compare than to do

#: What else is exhaustive: its name, what goes into its environment, and how it is run.
PROOFS: tuple[tuple[str, dict[str, str], tuple[str, ...]], ...] = (
    ("hostile input", {"UPLOADER_FUZZ": "20"}, ("pytest", "tests/hostile", "--timeout", "3600")),
    ("power cuts", {"UPLOADER_POWER": "all"}, ("pytest", "tests/power", "--timeout", "3600")),
    ("power on paper", {}, ("tests.power.campaign",)),
    ("failing calls", {}, ("tests.failing.campaign",)),
    ("failing", {"UPLOADER_FAILING": "all"}, ("pytest", "tests/failing", "--timeout", "3600")),
)


def main() -> int:
    """Soak, print what was done and found; 1 if there was any fault."""
    given = _arguments()
    kinds = KINDS if given.destination == "all" else (given.destination,)
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"soaking {', '.join(kinds)} for {given.minutes:g} min with seed {seed}", flush=True)
    whole = soak(kinds, given.minutes * 60, seed)
    print(f"seed {seed}, all rounds:\n{whole.text()}", flush=True)
    failed = _prove_the_rest() if given.everything else []
    return 1 if whole.faults or failed else 0


def soak(kinds: tuple[str, ...], seconds: float, seed: int) -> Outcome:
    """Hold round after round, the destinations taking turns."""
    whole, ends = Outcome(), time.monotonic() + seconds
    length = min(ROUND, seconds / len(kinds))
    number = 0
    while number < len(kinds) or time.monotonic() + length / 2 < ends:
        kind = kinds[number % len(kinds)]
        directory = Path(tempfile.mkdtemp(prefix="uploader-soak-"))
        one = hold(kind, directory, seed + number, length)
        whole.add(one)
        number += 1
        print(f"round {number}, {kind}, seed {seed + number - 1}:\n{one.text()}", flush=True)
        if one.faults:
            print("\n".join(one.faults), f"kept: {directory}", sep="\n", flush=True)
        else:
            shutil.rmtree(directory)
    return whole


def _prove_the_rest() -> list[str]:
    """Run the other exhaustive proofs; return the names of those that failed."""
    failed = []
    for name, variables, command in PROOFS:
        print(f"-- {name}: {' '.join(command)}", flush=True)
        environment = {**os.environ, **variables}
        if subprocess.run(
            [sys.executable, "-m", *command], env=environment, check=False
        ).returncode:
            failed.append(name)
    print(f"other proofs that failed: {', '.join(failed) or 'none'}", flush=True)
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for how long; %(default)g")
    parser.add_argument("--seed", type=int, help="where all that is random comes from")
    parser.add_argument("--destination", choices=(*KINDS, "all"), default="all")
    parser.add_argument(
        "--everything", action="store_true", help="then run the other exhaustive proofs: hours"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
