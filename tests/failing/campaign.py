"""Has every call of every scenario fail in every way, and prints what was wrong.

python -m tests.failing.campaign [--share 0.1] [--seconds N] [--seed S] [SCENARIO…]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.failing.cases import faults, playing, worth
from tests.failing.player import SCENARIOS


def main(arguments: Sequence[str]) -> int:
    """Play cases; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--share", type=float, default=1.0, help="of all cases")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--seconds", type=float, default=1e9, help="for each scenario, at most")
    parser.add_argument("--kind", default="", help="of the call, as sync")
    chosen = parser.parse_args(arguments)
    print(f"seed {chosen.seed}")
    dice = random.Random(chosen.seed)
    wrong = 0
    with playing() as player:
        for name in chosen.scenarios:
            begun, kinds, met, raised = time.monotonic(), Counter[str](), 0, 0
            every = faults(player, name)
            dice.shuffle(every)
            for fault in every:
                if time.monotonic() - begun > chosen.seconds:
                    break
                if dice.random() > chosen.share or not worth(fault):
                    continue
                if chosen.kind and fault.kind.name != chosen.kind.upper():
                    continue
                outcome = player.play(name, fault)
                kinds[fault.kind.name.lower()] += 1
                met += bool(outcome["failed"])
                raised += bool(outcome["error"])
                if outcome["wrong"]:
                    wrong += 1
                    print(f"{name}: {fault} ({outcome['path']}): {outcome['wrong']}", flush=True)
            print(
                f"{name}: {kinds.total()} of {len(every)} cases in {time.monotonic() - begun:.1f} "
                f"s, in {met} of which a call failed, in {raised} to the caller; {dict(kinds)}"
            )
    print(f"{wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
