"""Do what docker/Dockerfile says without a container engine: its steps, below a directory.

- No engine runs where the tests run. So each COPY copies, from what .dockerignore lets through and
  nothing else, and each RUN is run by `sh`, with the image's absolute paths below a directory.
- What only an engine can do (users of the image, mounts, layers) is left to `docker build`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"

#: Where the image has its own files; in the text of a step these are put below the directory.
_OURS = re.compile(r"(?<![\w.])/(?=(?:opt|src|spool)\b)")


@dataclass(frozen=True)
class Step:
    """One instruction, its continued lines joined."""

    keyword: str
    text: str


def stages() -> list[list[Step]]:
    """Return the instructions of each stage, in order; not what stands before the first FROM."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    steps = [
        Step(*line.split(maxsplit=1)) for line in text.replace("\\\n", " ").splitlines() if line
    ]
    found: list[list[Step]] = []
    for step in steps:
        if step.keyword == "FROM":
            found.append([])
        if found:
            found[-1].append(step)
    return found


def texts(stage: list[Step], keyword: str) -> list[str]:
    """Return what stands behind a keyword, each time."""
    return [" ".join(step.text.split()) for step in stage if step.keyword == keyword]


def variables(stage: list[Step]) -> dict[str, str]:
    """Return what ENV sets."""
    pairs = [word.partition("=") for text in texts(stage, "ENV") for word in shlex.split(text)]
    return {name: value for name, _, value in pairs}


def build(root: Path) -> None:
    """Carry out the first stage below `root`, which then holds the image's `/opt/uploader`."""
    directory = root
    for step in stages()[0]:
        if step.keyword == "WORKDIR":
            directory = root / step.text.strip("/")
            directory.mkdir(parents=True)
        elif step.keyword == "COPY":
            _copy(shlex.split(step.text), directory)
        elif step.keyword == "RUN":
            _run(moved(step.text, root), directory)


def moved(text: str, root: Path) -> str:
    """Return a step's text, or a variable's, with the image's own paths below `root`."""
    return _OURS.sub(f"{root}/", text)


def _copy(words: list[str], directory: Path) -> None:
    *sources, target = words
    for source in sources:
        assert source in _let_through(), f"{source} is not let through by the .dockerignore"
        into = directory / target
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, into, ignore=ignored)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, into)


def _let_through() -> set[str]:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line[1:] for line in lines if line.startswith("!")}


def _run(command: str, directory: Path) -> None:
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"  # `python`
    environment["PIP_NO_COMPILE"] = "1"
    command = re.sub(
        r"--(no-cache-dir|no-cache|compile-bytecode)\b", "", command
    )  # all of it: time
    result = subprocess.run(
        ["/bin/sh", "-e", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
