"""Start the command line: `python -m uploader`, and the console script `uploader`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; return its exit code."""
    # Imported here: a worker process may import this module again, and must not pay for the rest.
    from uploader.cli.main import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
