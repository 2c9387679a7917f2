"""Be a training process that logs what it is told to: one line of JSON asks, one answers.

`python -m tests.failing.real.trainer SPOOL DESTINATION [auto|external]`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from destination import LogLevel, ObjectStoreLogger
from uploader.errors import SpoolError


def main() -> None:
    """Log until stdin ends."""
    spool, destination, *agent = sys.argv[1:]
    logger = ObjectStoreLogger(
        destination,
        spool=spool,
        object_name="{artifact_name}",
        agent="auto" if agent == ["auto"] else "external",
    )
    state: Any = SimpleNamespace(run_name="run")
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            logger.log_file_artifact(
                state, LogLevel.EPOCH, order["name"], Path(order["path"]), overwrite=True
            )
        except Exception as error:  # noqa: BLE001  it is told, and judged by the test
            answer = {
                "kind": type(error).__name__,
                "spool_error": isinstance(error, SpoolError),
                "os_error": isinstance(error, OSError),
                "errno": getattr(error, "errno", None),
                "words": str(error),
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
