"""Installs what the benchmark needs of others, each where it cannot get into the way of the rest.

Versions are exact where what is measured depends on them. The environments are beside each other
in our own, which git ignores.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_INSTALLED = "installed"  #: the file that tells what an environment has; written last


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what is in it."""

    name: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(sys.prefix) / self.name

    def program(self, name: str) -> Path:
        """Return the path of one of its programs."""
        return self.folder / "bin" / name

    def package(self, name: str) -> Path:
        """Return the folder of one of its packages."""
        return next(self.folder.glob(f"lib/python*/site-packages/{name}"))

    def install(self) -> str | None:
        """Bring it up to date; return why that failed. What pip complains of goes to stderr."""
        wanted = "\n".join(self.requirements)
        stamp = self.folder / _INSTALLED
        if stamp.exists() and stamp.read_text() == wanted:
            return None
        if not self.program("python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        pip = [str(self.program("python")), "-m", "pip", "install", "--quiet"]
        command = [*pip, "--disable-pip-version-check", *self.requirements]
        if subprocess.call(command, stdout=sys.stderr):
            return f"pip could not install {' '.join(self.requirements)}"
        stamp.write_text(wanted)
        return None
