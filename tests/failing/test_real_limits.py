"""Limits of the system that are too low for real: on open files, their size, processes, memory.

`prlimit` sets them for the real command. `UPLOADER_FAILING=all` tries every value from where Python
starts to where all works; the tests a few of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failing.real.scene import AS_NOBODY, NOBODY, POWERLESS, Scene

ALL = os.environ.get("UPLOADER_FAILING") == "all"

#: Descriptors; with fewer than 5 Python cannot load the command.
FILES_OF_PUT = range(5, 12) if ALL else (5, 8)
FILES_OF_DRAIN = range(5, 33) if ALL else (8, 11)
FILE_SIZES = [1 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10] if ALL else [32 << 10]
PROCESSES = range(1, 10) if ALL else (1, 2, 3, 5, 8)
ENOUGH_PROCESSES = 4  #: a supervisor, a fork server, and one worker with its thread
MEGABYTES = range(26, 64, 2) if ALL else (28,)
TOO_FEW_FILES = r"raise the limit on open files \(ulimit -n\)"
TOO_LARGE = r"raise the limit on the size of a file \(ulimit -f\)"
TOO_FEW_PROCESSES = r"limit on processes \(ulimit -u\)"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A spool with something to upload."""
    made = Scene(tmp_path)
    made.make()
    made.put_here("before", os.urandom(300 << 10))
    yield made
    made.end()


@pytest.fixture
def nobodys() -> Iterator[Scene]:
    """A spool of a user for whom the limit on processes holds, as it does not for root."""
    if os.geteuid():
        pytest.xfail("NOT TESTED, no process was refused: only root can become another user")
    if not shutil.which("setpriv"):
        pytest.xfail("NOT TESTED, no process was refused: apt-get install util-linux")
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, NOBODY, NOBODY)
    made = Scene(folder)
    made.run("init", "--destination", made.remote.as_uri(), prefix=AS_NOBODY).require(0)
    for number in range(8):
        made.put(f"before-{number}", b"before", prefix=AS_NOBODY).require(0)
    yield made
    made.end()
    shutil.rmtree(folder)


@pytest.mark.parametrize("files", FILES_OF_PUT)
def test_a_put_with_too_few_open_files_says_so(scene: Scene, files: int) -> None:
    """And not that the spool is damaged; without the limit it succeeds."""
    ended = scene.put("new", b"new", prefix=("prlimit", f"--nofile={files}"))
    if ended.code:
        ended.require(1, 6, words=TOO_FEW_FILES)
    scene.put("new", b"new").require(0)
    scene.settle()


@pytest.mark.parametrize("files", FILES_OF_DRAIN)
def test_a_drain_with_too_few_open_files_says_so(scene: Scene, files: int) -> None:
    """It ends, without spinning; the next one brings everything."""
    for number in range(3):
        scene.put_here(f"more-{number}", os.urandom(100))
    ended = scene.drain("--workers", 4, prefix=("prlimit", f"--nofile={files}"))
    if ended.code:
        ended.require(1, 6, words=TOO_FEW_FILES)
    scene.settle()


def test_an_agent_that_may_open_few_files_does_not_spin(scene: Scene) -> None:
    """It ends with the reason, for whoever looks into its log."""
    ended = scene.run("run", "--exit-when-idle", "1s", prefix=("prlimit", "--nofile=8"))
    ended.require(1, words=TOO_FEW_FILES)
    scene.settle()


def test_a_trainer_that_runs_out_of_open_files_goes_on_when_it_has_some(scene: Scene) -> None:
    """The limit is raised while it runs; the same call then succeeds."""
    trainer = scene.trainer()
    assert trainer.log("one", b"one") == {}
    for files in range(4, 16):
        _limit(trainer.process.pid, files)
        answer = trainer.log(f"few-{files}", b"few")
        assert not answer or (answer["os_error"] or answer["spool_error"]), answer
        assert "damaged" not in answer.get("words", ""), answer
    _limit(trainer.process.pid, 1024)
    assert trainer.log("few-4", b"enough") == {}
    scene.settle()


@pytest.mark.parametrize("size", FILE_SIZES)
def test_a_limit_on_the_size_of_a_file_is_told_as_one(scene: Scene, size: int) -> None:
    """In the copy, in SQLite's log, and at the destination: there it makes a dead letter."""
    limited = ("prlimit", f"--fsize={size}")
    content = os.urandom(300 << 10)
    ended = scene.put("large", content, prefix=limited)
    if ended.code:
        ended.require(1, 6, words=TOO_LARGE)
    ended = scene.drain(prefix=limited)
    if ended.code == 3:
        ended.require(3, words="File too large")
    elif ended.code:
        ended.require(6, words=TOO_LARGE)
    scene.put("large", content).require(0)
    scene.settle(retry=True)


@pytest.mark.parametrize("processes", PROCESSES)
def test_a_drain_that_may_not_start_processes_says_so(nobodys: Scene, processes: int) -> None:
    """Whether the fork server, a worker or its thread is one too many; one worker is enough."""
    limited = (*AS_NOBODY, "prlimit", f"--nproc={processes}")
    is_enough = processes >= ENOUGH_PROCESSES
    limit = "30s" if is_enough else "3s"
    ended = nobodys.drain("--workers", 4, "--timeout", limit, prefix=limited)
    ended.require(*((0,) if is_enough else (1, 4)), words=TOO_FEW_PROCESSES)
    nobodys.settle(prefix=AS_NOBODY)


@pytest.mark.parametrize("megabytes", MEGABYTES)
def test_too_little_memory_loses_nothing(scene: Scene, megabytes: int) -> None:
    """In a put, in the supervisor or in a worker: the reason is told, the next brings all."""
    limited = ("prlimit", f"--as={megabytes << 20}")
    content = os.urandom(3 << 20)
    if scene.put("new", content, prefix=limited).code == 127:
        return  # not even Python could start
    ended = scene.drain("--timeout", "20s", prefix=limited)
    if (
        ended.code in (1, 4) and "code for hash" not in ended.words
    ):  # Python's own, of its libcrypto
        ended.require(1, 4, words="memory|ulimit")
    scene.put("new", content).require(0)
    scene.settle()


def test_a_destination_that_is_not_ours_to_write_is_told_and_waited_for(scene: Scene) -> None:
    """Code 5 before the first upload, and nothing becomes a dead letter."""
    scene.remote.mkdir()
    scene.remote.chmod(0o500)
    ended = scene.drain(prefix=POWERLESS)
    ended.require(5, words="Permission denied; check its permissions")
    scene.remote.chmod(0o700)
    scene.settle(prefix=POWERLESS)


def test_a_directory_in_the_destination_that_cannot_be_written_is_a_dead_letter(
    scene: Scene,
) -> None:
    """Only what goes there; retried when it can be."""
    scene.put_here("closed/one", b"one")
    (scene.remote / "closed").mkdir(parents=True)
    (scene.remote / "closed").chmod(0o500)
    scene.drain(prefix=POWERLESS).require(3, words="closed/one.*Permission denied")
    (scene.remote / "closed").chmod(0o700)
    scene.settle(prefix=POWERLESS, retry=True)


@pytest.mark.parametrize("room", [".", "staging", "blobs"])
def test_a_spool_that_is_closed_under_a_trainer_and_a_drain(scene: Scene, room: str) -> None:
    """They say that permission is denied; when it is open again the same trainer goes on."""
    trainer = scene.trainer(prefix=POWERLESS)
    assert trainer.log("one", b"one") == {}
    (scene.spool_path / room).chmod(0)
    answer = trainer.log("closed", b"closed")
    assert answer["kind"] in ("PermissionError", "SpoolError"), answer
    assert "ermission" in answer["words"], answer
    scene.put("closed", b"closed", prefix=POWERLESS).require(2, 6, 1, words="[Pp]ermission")
    scene.drain(prefix=POWERLESS).require(1, 3, 6, words="[Pp]ermission")
    (scene.spool_path / room).chmod(0o700)
    assert trainer.log("closed", b"open") == {}
    scene.settle(prefix=POWERLESS, retry=True)


def test_a_umask_that_takes_everything_takes_nothing_from_us(tmp_path: Path) -> None:
    """What is spooled can be read again; objects at the destination are as the umask has them."""
    scene = Scene(tmp_path)
    masked = (*POWERLESS, "sh", "-c", 'umask 777; exec "$@"', "sh")
    scene.run("init", "--destination", scene.remote.as_uri(), prefix=masked).require(0)
    scene.put("one", b"one", prefix=masked).require(0)
    scene.remote.mkdir()
    scene.drain(prefix=masked).require(3, words="one.*Permission denied")  # no mark can be set
    scene.settle(prefix=POWERLESS, retry=True)


def _limit(pid: int, files: int) -> None:
    import resource

    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))
