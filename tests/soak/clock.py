"""Makes the wall clock of chosen processes jump; `clock.c` is preloaded into them.

The machine's own clock is left alone: it is everybody's.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")

_COMPILER = ("cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-shared", "-fPIC")
_OFFSET = struct.Struct("=q")


class JumpingClock:
    """A clock that processes with `environment` in theirs go by."""

    def __init__(self, path: Path) -> None:
        """Keep the offset in a file that is made here; it is right at first."""
        self._path = path
        path.write_bytes(_OFFSET.pack(0))

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to go by this clock."""
        return {"LD_PRELOAD": str(compiled()), "SOAK_CLOCK": str(self._path)}

    def set(self, seconds: float) -> None:
        """Be off by so much from now on, in all processes at once."""
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, _OFFSET.pack(int(seconds * 1e9)), 0)
        finally:
            os.close(descriptor)


def compiled() -> Path:
    """Return the library, compiled when its source has changed; needs `cc` (scripts/tools)."""
    text = SOURCE.read_bytes()
    folder = Path(sys.prefix) / "soak-clock"
    library = folder / f"{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(exist_ok=True)
        fresh = folder / f"{os.getpid()}.so"
        subprocess.run([*_COMPILER, "-o", str(fresh), str(SOURCE), "-ldl"], check=True)
        fresh.rename(library)
    return library
