"""Stands for a training script where the recipes beside this file run one; see README.md.

It does what a training script of yours has to do, and trains nothing:

- starts from `ckpt/latest`, the spool's own copy first, so that a restart loses no checkpoint;
- logs a checkpoint after each epoch, and points `ckpt/latest` to it;
- on SIGTERM, saves a last one and leaves;
- succeeds only when all that it logged has arrived, so that a job that is "complete" is.

    python trainer.py [EPOCHS [SECONDS [MEBIBYTES]]]     # of each epoch, and of its checkpoint

The agent is not started here (`agent="external"`): in a pod, in compose or under Slurm another
container, or the batch script, runs it. `$UPLOADER_SPOOL` and `$UPLOADER_DESTINATION` say where.
"""

# ruff: noqa: INP001, T201   a program, not a package; its output is for people to watch

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

from destination import Event, Logger, LogLevel, ObjectStoreLogger
from uploader import drain

LATEST = "ckpt/latest"
ARRIVE = 1500.0  #: seconds that the last uploads may take, once training is over
INTERRUPTED = 143  #: as a shell reports SIGTERM: whoever restarts the job sees that it is not over


def main(epochs: int = 20, seconds: float = 5.0, mebibytes: int = 32) -> int:
    """Train, log, and return the exit code."""
    stop = threading.Event()
    # As process 1 of a container a program without a handler does not even notice SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())  # noqa: ARG005
    spool, destination = os.environ["UPLOADER_SPOOL"], os.environ["UPLOADER_DESTINATION"]
    # Each rank has names of its own; with a {run_name} that a restart changes it finds nothing.
    names = "{run_name}/rank{rank}/{artifact_name}"
    uploads = ObjectStoreLogger(destination, spool=spool, object_name=names, agent="external")
    state = SimpleNamespace(run_name=os.environ.get("RUN_NAME", "demo"))
    logger = Logger(state, destinations=[uploads])
    uploads.run_event(Event.INIT, state, logger)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.pt"
        epoch = epochs_before(uploads, path)
        print(f"starts after epoch {epoch}", flush=True)
        while epoch < epochs and not stop.is_set():
            stop.wait(seconds)  # here a script of yours trains
            epoch += 1
            path.write_bytes(epoch.to_bytes(8, "big") + os.urandom(mebibytes << 20))
            # It overwrites: an epoch that was cut off is trained again.
            name = f"ckpt/ep{epoch}.pt"
            logger.file_artifact(LogLevel.EPOCH, name, path, overwrite=True)
            logger.symlink_artifact(LogLevel.EPOCH, name, LATEST, overwrite=True)
            print(f"logged {name}", flush=True)
    print(f"leaves after epoch {epoch}", flush=True)
    # Whoever stops us uploads the rest: the sidecar in its grace, or the batch script.
    code = INTERRUPTED if stop.is_set() else drain(spool, timeout=ARRIVE).exit_code
    uploads.post_close()
    return code


def epochs_before(uploads: ObjectStoreLogger, path: Path) -> int:
    """Return how many epochs are in `ckpt/latest`; 0 where there is none yet."""
    try:
        uploads.get_file_artifact(LATEST, str(path), overwrite=True)
    except FileNotFoundError:
        return 0
    with path.open("rb") as checkpoint:
        return int.from_bytes(checkpoint.read(8), "big")


if __name__ == "__main__":
    kinds = (int, float, int)
    sys.exit(main(*(kind(given) for kind, given in zip(kinds, sys.argv[1:], strict=False))))
