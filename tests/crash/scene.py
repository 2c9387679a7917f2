"""Sets the scene of a crash test: a spool, commands on it in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from uploader import Spool
from uploader.crashpoint import ONCE_VARIABLE, VARIABLE
from uploader.store.local_files import TEMPORARY

PART = 1 << 20  #: bytes; small parts, so that a file of a few MiB has several
TIME_LIMIT = 60  #: seconds for any one command
KILLED = -9


class Scene:
    """One spool that uploads to one directory."""

    def __init__(self, directory: Path) -> None:
        """Use `directory` for everything."""
        self.directory = directory
        self.spool = directory / "spool"
        self.destination = directory / "destination"
        self.once = directory / "crashed"

    def open(self, *, producer: bool = True) -> Spool:
        """Open the spool, making it the first time."""
        return Spool(
            self.spool,
            f"file://{self.destination}",
            options={"part_size": PART},
            producer=producer,
        )

    def write(self, name: str, data: bytes) -> Path:
        """Make a source file."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    def run(
        self, *arguments: str, crash: str = "", faults: str = "", check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run `uploader …` on the spool; with `crash`, some process of it is killed there, once."""
        return subprocess.run(
            [sys.executable, "-m", "uploader", *arguments, "--spool", str(self.spool)],
            env=self.environment(crash=crash, faults=faults),
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=check,
        )

    def environment(self, *, crash: str = "", faults: str = "") -> dict[str, str]:
        """Return this process's environment with crashes and faults in it."""
        extra = {"UPLOADER_FAULTS": faults} if faults else {}
        if crash:
            extra |= {VARIABLE: crash, ONCE_VARIABLE: str(self.once)}
        return {**os.environ, **extra}

    def arrived(self) -> dict[str, bytes | str]:
        """Return what is at the destination: bytes of files, texts of symlinks."""
        found: dict[str, bytes | str] = {}
        for directory, _, leaves in os.walk(self.destination):
            for leaf in leaves:
                path = Path(directory, leaf)
                name = str(path.relative_to(self.destination))
                found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes()
        return found

    def leftovers(self) -> list[str]:
        """Return files that nobody needs: in the spool, and unfinished ones at the destination."""
        inside = [path for path in (self.spool / "blobs").rglob("*") if path.is_file()]
        inside += (self.spool / "staging").iterdir()
        outside = list(self.destination.rglob(f"{TEMPORARY}*"))
        return [str(path) for path in inside + outside]
