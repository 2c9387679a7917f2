"""Runs the benchmarks by name; exits with 1 if a target was missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import backlog, blocking, drain, gcs, idle, imports, resume, s3, start, uploads
from tests.bench.seeding import NAME_NUMBERS
from uploader.spool.layout import file_system_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.measure import Result

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}  #: suffixes of a size; bytes


def main() -> int:
    """Run what the command line asks for."""
    if sys.argv[1:2] == ["picture"]:
        from tests.bench import picture

        return picture.main(sys.argv[2:])
    parser = _parser()
    arguments = parser.parse_args()
    if wrong := _unknown(arguments):
        parser.error(wrong)
    names = [arguments.benchmark] if arguments.benchmark else list(BENCHMARKS)
    machine = _machine(arguments.dir)
    if not arguments.json:
        print(*(f"{key}: {value}" for key, value in machine.items()), sep=", ", flush=True)
    results = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="uploader-bench-", dir=arguments.dir) as folder:
            result = BENCHMARKS[name](Path(folder), arguments)
        results.append(result)
        if not arguments.json:
            text = result.as_markdown() if arguments.markdown else result.as_text()
            print(text, _load("load average now"), sep="\n", flush=True)
    if arguments.json:
        found = [result.as_json() for result in results]
        print(json.dumps({"machine": machine, "load_at_end": os.getloadavg(), "results": found}))
    return int(not all(target.met for result in results for target in result.targets))


def _blocking(folder: Path, arguments: argparse.Namespace) -> Result:
    sizes = arguments.size or list(blocking.ROUNDS)
    kinds = arguments.on or list(blocking.FILE_SYSTEMS)
    return blocking.run(folder, sizes, arguments.rounds, kinds, written=arguments.written)


def _backlog(folder: Path, arguments: argparse.Namespace) -> Result:
    rounds = arguments.rounds or backlog.ROUNDS
    return backlog.run(folder, arguments.rows, rounds, arguments.names)


def _imports(folder: Path, arguments: argparse.Namespace) -> Result:
    return imports.run(arguments.rounds or imports.ROUNDS)


def _idle(folder: Path, arguments: argparse.Namespace) -> Result:
    del arguments
    return idle.run(folder)


def _resume(folder: Path, arguments: argparse.Namespace) -> Result:
    rounds = arguments.rounds or resume.ROUNDS
    return resume.run(folder, rounds, arguments.workers, arguments.share)


def _start(folder: Path, arguments: argparse.Namespace) -> Result:
    return start.run(folder, arguments.rounds or start.ROUNDS)


def _drain(folder: Path, arguments: argparse.Namespace) -> Result:
    rounds = arguments.rounds or drain.ROUNDS
    return drain.run(folder, rounds, arguments.workers, arguments.share)


def _s3(folder: Path, arguments: argparse.Namespace) -> Result:
    usual = (*s3.USUAL, *arguments.extra)
    return s3.run(folder, _chosen(arguments, s3.DEFAULT, s3.SETS, usual))


def _gcs(folder: Path, arguments: argparse.Namespace) -> Result:
    return gcs.run(folder, _chosen(arguments, gcs.DEFAULT, gcs.SETS, gcs.PEERS))


def _unknown(arguments: argparse.Namespace) -> str | None:
    """Say what was named that the benchmark of one of the two services does not have."""
    module = {"s3": s3, "gcs": gcs}.get(arguments.benchmark)
    if module:
        for name in [*(arguments.server or ()), *(arguments.peer or ())]:
            if name not in (*module.SERVERS, *module.PEERS):
                return f"{name} is not of {arguments.benchmark}"
    return None


def _chosen(
    arguments: argparse.Namespace,
    servers: Sequence[str],
    cases: Sequence[tuple[int, int]],
    usual: Sequence[str],
) -> uploads.Chosen:
    return uploads.Chosen(
        arguments.server or servers,
        arguments.case or cases,
        arguments.peer or usual,
        arguments.rounds or uploads.ROUNDS,
        arguments.workers,
        arguments.share,
    )


BENCHMARKS: dict[str, Callable[[Path, argparse.Namespace], Result]] = {
    "blocking": _blocking,
    "backlog": _backlog,
    "imports": _imports,
    "start": _start,
    "idle": _idle,
    "resume": _resume,
    "drain": _drain,
    "s3": _s3,
    "gcs": _gcs,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("benchmark", nargs="?", choices=BENCHMARKS, help="default: all of them")
    parser.add_argument("--json", action="store_true", help="every single time, in seconds")
    parser.add_argument("--markdown", action="store_true", help="the table, for a document")
    parser.add_argument("--dir", help="a directory on the disk to measure (default: $TMPDIR, /tmp)")
    parser.add_argument("--rounds", type=int, help="how often each peer has its turn")
    group = parser.add_argument_group("blocking")
    group.add_argument("--size", type=_size, action="append", help="64K, 16M, 1G; repeatable")
    group.add_argument("--on", choices=blocking.FILE_SYSTEMS, action="append", help="repeatable")
    group.add_argument("--written", action="store_true", help="sources are dirty, not only cached")
    group = parser.add_argument_group("backlog")
    group.add_argument("--rows", type=int, default=1_000_000, help="pending rows (1000000)")
    group.add_argument("--names", choices=NAME_NUMBERS, default="ascending")
    group = parser.add_argument_group("drain, s3, gcs")
    group.add_argument("--workers", type=int, default=4)
    group.add_argument("--share", type=float, default=1.0, help="of the files, for a quick look")
    group = parser.add_argument_group("s3, gcs; each of these may be repeated")
    servers, names = {**s3.SERVERS, **gcs.SERVERS}, (*s3.PEERS, *gcs.PEERS)
    group.add_argument("--server", choices=servers, action="append", help="strict: gcs only")
    group.add_argument("--case", type=_case, action="append", help="as 2000x64K")
    group.add_argument("--peer", choices=names, action="append", help="default: the usual ones")
    large = [name for name in s3.PEERS if name not in s3.USUAL]
    group.add_argument(
        "--with", choices=large, action="append", default=[], dest="extra", help="beside these"
    )
    return parser


def _size(text: str) -> int:
    """Read 64K, 16M or 1G as bytes."""
    unit = UNITS.get(text[-1:].upper())
    return int(text[:-1]) * unit if unit else int(text)


def _case(text: str) -> tuple[int, int]:
    """Read 2000x64K as files and bytes of each."""
    files, _, size = text.partition("x")
    return int(files), _size(size)


def _machine(directory: str | None) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file system": file_system_of(Path(directory or tempfile.gettempdir())) or "unknown",
        "load average": os.getloadavg()[0],
        "processor": _processor(),
        "uploader": metadata.version("artifact-uploader"),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        found = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(found, platform.machine())


def _load(label: str) -> str:
    return f"{label}: {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
