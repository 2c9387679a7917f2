"""Start the demo: a small training run on a local destination, killed and resumed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

#: what the demo imports besides us; the extra `demo` installs it
NEEDED = ("numpy", "sklearn", "matplotlib")


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder to work in, which is kept. By default a temporary one.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default="uploader-demo.png",
    show_default=True,
    help="Where to draw the picture.",
)
def demo(folder: Path | None, picture: Path) -> int:
    """Train a small model, kill it in mid-upload, resume, and compare every byte.

    Takes 30 seconds, on a busy machine a minute, and needs nothing but this machine. Exit code 0:
    everything that was logged arrived; 1: it did not.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        what = " and ".join(missing)
        raise click.UsageError(f"{what} missing: pip install 'artifact-uploader[demo]'")
    # A process of its own: uploader never imports destination, where the training side lives.
    command = [sys.executable, "-m", "destination.demo", "--picture", str(picture)]
    command += ["--dir", str(folder)] if folder else []
    return subprocess.run(command, check=False).returncode
