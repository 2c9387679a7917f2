"""Start the command line: `python -m uploader`, and the console script `uploader`."""

from __future__ import annotations

import gc
import os
import sys

#: persist-queue loads asyncio for these, 0.04 s of each command, and goes on without them where
#: they cannot be imported, as it does where its extra packages are missing. None says that they
#: cannot (Python's reference, "The module cache"). Only here, where the process is ours.
UNUSED = ("persistqueue.async_queue", "persistqueue.async_sqlqueue")

COMPLETE_VARIABLE = "_UPLOADER_COMPLETE"  #: set by the shell that asks what may come next


def main() -> int:
    """Run one command; return its exit code."""
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # None has a meaning
    if COMPLETE_VARIABLE in os.environ:
        from uploader.cli.completion import complete

        return complete(COMPLETE_VARIABLE)
    # Imported here: only now is it known what need not be loaded.
    from uploader.cli.main import run_command

    code = run_command(sys.argv[1:])
    gc.freeze()  # at its end Python searches everything for garbage, for a tenth of a short command
    return code


if __name__ == "__main__":
    sys.exit(main())
