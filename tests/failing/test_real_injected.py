"""System calls that fail in the real command, its fork server and its workers, one after another.

strace lets them fail. `UPLOADER_FAILING=all` tries every call that touches the spool or the
destination; the tests one of each kind.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.failing.real import injected
from tests.failing.real.scene import Ended, Scene

ALL = os.environ.get("UPLOADER_FAILING") == "all"
SEED = int(os.environ.get("UPLOADER_FAILING_SEED", "1"))

#: What fails, and what must be said of it then.
ON_FILES = [
    ("openat", "EMFILE", r"ulimit -n|Too many open files|disk failed|readonly|try again"),
    ("write", "ENOSPC", "free space|No space left"),
    ("pwrite64", "ENOSPC", "free space|No space left|disk failed"),  # when one looks, there is room
    ("write", "EIO", "disk failed|Input/output"),
    ("pwrite64", "EIO", "disk failed|Input/output"),
    ("fsync", "EIO", "disk failed|Input/output"),
    ("fdatasync", "EIO", "disk failed|Input/output"),
    ("rename", "EACCES", "[Pp]ermission denied"),
    ("unlink", "EIO", ""),
    ("close", "EIO", ""),
    ("link", "EIO", "Input/output"),
]
#: Without the option: the log of SQLite, the copy, the names, and that no file can be opened.
IN_PUT = ON_FILES if ALL else [ON_FILES[0], ON_FILES[2], ON_FILES[5], ON_FILES[7]]
IN_DRAIN = ON_FILES if ALL else [ON_FILES[0], ON_FILES[2], ON_FILES[5], ON_FILES[10]]
CALLS = sorted({call for call, _, _ in ON_FILES})
#: What is interrupted by a signal is called again, wherever it is.
INTERRUPTED = ("poll", "select", "wait4", "recvmsg", "recvfrom", "read", "write", "openat", "fsync")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A spool with files, a large one among them; where nothing can be injected that is told."""
    if why := injected.why_not():
        pytest.xfail(f"NOT TESTED, no system call failed: {why}")
    made = Scene(tmp_path)
    made.make(part_size="5MiB")
    for number in range(3):
        made.put_here(f"before-{number}", os.urandom(5000))
    yield made
    made.end()


@pytest.mark.timeout(3600 if ALL else 60)  # all: some hundred commands
@pytest.mark.parametrize(("call", "error", "words"), IN_PUT)
def test_a_put_of_which_a_call_fails(scene: Scene, call: str, error: str, words: str) -> None:
    """What it says it did is done, what it did not do it says; the next put succeeds."""
    log = scene.folder / "calls"
    scene.put("recorded", b"r" * 5000, prefix=injected.recording(log, CALLS)).require(0)
    for when in _chosen(injected.ordinals(log, call, [scene.spool_path, scene.remote]), call):
        content = os.urandom(5000)
        ended = scene.put(f"new-{when}", content, prefix=injected.failing(call, error, when))
        if ended.code:
            _require_told(ended, (1, 2, 6, 7), words)
            scene.put(f"new-{when}", content).require(0)
    scene.settle()


@pytest.mark.timeout(3600 if ALL else 60)
@pytest.mark.parametrize(("call", "error", "words"), IN_DRAIN)
def test_a_drain_of_which_a_call_fails(scene: Scene, call: str, error: str, words: str) -> None:
    """In the supervisor, or in its workers: nothing is lost, and the next drain ends with 0."""
    log = scene.folder / "calls"
    scene.drain(prefix=injected.recording(log, CALLS)).require(0)
    for when in _chosen(injected.ordinals(log, call, [scene.spool_path, scene.remote]), call):
        for number in range(3):
            scene.put_here(f"one-{number}", os.urandom(5000))
        ended = scene.drain("--timeout", "3s", prefix=injected.failing(call, error, when))
        if ended.code:
            _require_told(ended, (1, 3, 4, 5, 6, 7), f"{words}|worker process ended")
        scene.settle(retry=True)


@pytest.mark.parametrize("when", ["1", "2", "1+"] if ALL else ["2", "1+"])
@pytest.mark.parametrize("call", ["clone", "clone3", "fork", "vfork"] if ALL else ["clone"])
def test_a_drain_that_cannot_fork(scene: Scene, call: str, when: str) -> None:
    """Neither its fork server, nor a worker, nor a worker's thread."""
    ended = scene.drain("--timeout", "20s", prefix=injected.failing(call, "EAGAIN", when))
    if ended.code:
        _require_told(ended, (1, 4), "limit on processes")
    scene.settle()


@pytest.mark.parametrize("call", INTERRUPTED if ALL else INTERRUPTED[:2])
def test_an_interrupted_call_is_made_again(scene: Scene, call: str) -> None:
    """EINTR is seen by nobody."""
    for when in range(1, 12) if ALL else (2,):
        scene.put_here("more", os.urandom(5000))
        scene.drain(prefix=injected.failing(call, "EINTR", when)).require(0)
        scene.put("new", b"new", prefix=injected.failing(call, "EINTR", when)).require(0)
    scene.settle()


def _require_told(ended: Ended, codes: Sequence[int], words: str) -> None:
    ended.require(*codes, words=words)


def _chosen(ordinals: Sequence[int], call: str) -> Sequence[int]:
    if ALL:
        return ordinals
    return random.Random(f"{SEED} {call}").sample(ordinals, min(1, len(ordinals)))
