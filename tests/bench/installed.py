"""Starts the uploader as its users do: its console script, from an installation with byte code.

pip compiles what it installs; a checkout is compiled at each start where the environment says
`PYTHONDONTWRITEBYTECODE`, and that would be on the clock. Here the first start, which is not
measured, leaves its byte code in a folder of the benchmark's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Variables of this machine's that must not act.
SETTINGS = (
    "AWS_", "RCLONE_", "S3_", "GOOGLE_", "STORAGE_", "CLOUDSDK_", "REQUESTS_", "CURL_",
    "UPLOADER_", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
)  # fmt: skip

UPLOADER = str(Path(sys.executable).with_name("uploader"))


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all of an environment in which byte code is kept in `folder`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**clean, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), **(more or {})}


def drain(spool: Path, *flags: str) -> list[str]:
    """Return the command that drains a spool."""
    return [UPLOADER, "drain", "--spool", str(spool), *flags]
