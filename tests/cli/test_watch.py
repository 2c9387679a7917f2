"""`uploader watch` spools what appears in a directory: once, when it is complete, and no more."""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from tests.cli.shell import Shell
from tests.crash.processes import kill
from uploader import Spool, agent_owner
from uploader.state import State

SETTLE = ("--settle", "400ms")
ALONE = ("--agent", "external")
NEVER = ("--rescan", "1h")  #: what is found after the start was told by the kernel


class Ended(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


class Watched:
    """A directory, and the command that watches it."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.root = shell.folder / "out"
        self.root.mkdir()
        self.spool: Spool | None = None

    def write(self, path: str, content: str = "content") -> pathlib.Path:
        """Write a file of the directory, and close it."""
        return self.shell.file(content, f"out/{path}")

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Begin to watch."""
        where = ("--destination", self.shell.url, self.root)
        return self.shell.start("watch", *where, *SETTLE, *ALONE, *arguments)

    def once(self, *arguments: object) -> Ended:
        """Spool what is there and complete; in this process, which is quicker."""
        where = ("--spool", self.shell.spool_path, "--destination", self.shell.url, self.root)
        words = ["watch", *map(str, (*where, *SETTLE, *ALONE, "--once", *arguments))]
        said = io.StringIO(), io.StringIO()
        with self.shell.in_process() as run, redirect_stdout(said[0]), redirect_stderr(said[1]):
            return Ended(run(words), *(one.getvalue() for one in said))

    def names(self) -> list[str]:
        """Return the names of all uploads, each as often as it was spooled."""
        if self.spool is None:
            self.spool = self.shell.spool()
        return [one.name for one in self.spool.uploads()]

    def wait_for(self, count: int) -> None:
        """Wait until so many uploads were spooled."""
        self.shell.wait_until(lambda: len(self.names()) >= count)

    def until(self, *names: str) -> None:
        """Wait until these are spooled, and find that nothing else is."""
        self.shell.wait_until(lambda: set(names) <= set(self.names()))
        assert sorted(self.names()) == sorted(names)


@pytest.fixture
def watched(shell: Shell) -> Iterator[Watched]:
    """A directory to watch."""
    watched = Watched(shell)
    yield watched
    if watched.spool:
        watched.spool.close()
    owner = agent_owner(shell.spool_path)
    if owner:
        kill(owner.pid)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Ask a watch to leave; return its exit code and what it said."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def stop(process: subprocess.Popen[str]) -> None:
    """Have a watch do nothing, until it is sent SIGCONT."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def test_what_is_there_and_what_comes_is_spooled_and_arrives(watched: Watched) -> None:
    """Files, in new directories too, closed or renamed in; the agent that it starts uploads."""
    watched.write("before.pt")
    process = watched.start(*NEVER, "--agent", "auto", "--run", "r7", "--name", "{run_name}/{path}")
    watched.until("r7/before.pt")
    watched.write("new/deep/after.pt")
    made = watched.shell.file("content", "elsewhere")
    made.rename(watched.root / "renamed.pt")
    shutil.copytree(watched.root / "new", watched.shell.folder / "moved")
    (watched.shell.folder / "moved").rename(watched.root / "moved")
    names = ["before.pt", "new/deep/after.pt", "renamed.pt", "moved/deep/after.pt"]
    watched.until(*(f"r7/{name}" for name in names))
    watched.shell.wait_until(
        lambda: all((watched.shell.remote / "r7" / name).exists() for name in names)
    )
    code, said = ended(process)
    assert code == 0, said
    assert "4 files were spooled" in said


def test_what_is_written_is_left_alone_until_it_is_closed(watched: Watched) -> None:
    """However long it pauses; one that stays open counts after `--settle-open`."""
    slow = (watched.root / "slow").open("w")
    kept = (watched.root / "kept").open("w")
    for file in (slow, kept):
        file.write("half")
        file.flush()
    process = watched.start("--settle-open", "1h")
    watched.write("closed")
    watched.until("closed")
    said = watched.once().stderr
    assert f"still being written, not spooled: {watched.root}/kept, {watched.root}/slow" in said
    slow.write(" and half")
    slow.close()
    watched.until("closed", "slow")
    assert watched.once("--settle-open", "1ms").stdout
    watched.until("closed", "slow", "kept")
    kept.close()
    code, said = ended(process)
    assert code == 0, said
    with watched.shell.spool() as spool:
        assert {one.name: one.size for one in spool.uploads()}["slow"] == len("half and half")


def test_a_known_file_is_not_spooled_again(watched: Watched) -> None:
    """After a restart, nor when it was only touched, moved over itself, or its mode was changed."""
    path = watched.write("a.pt")
    first = watched.once()
    assert first.returncode == 0
    with watched.shell.spool() as spool:
        assert first.stdout == f"{spool.uploads()[0].id}\n"
    assert watched.once().stdout == ""
    os.utime(path, (1, 1))
    path.chmod(0o600)
    assert watched.once().stdout == ""
    other = watched.shell.file("content", "other")
    other.rename(path)
    again = watched.once("--overwrite")
    assert (again.returncode, again.stdout) == (0, "")
    watched.until("a.pt")


def test_a_change_is_told_once_and_replaces_nothing(watched: Watched) -> None:
    """It says what to do, exactly; what it says does it. Exit code 2: not all is in the spool."""
    watched.write("it's.pt", "one")
    process = watched.start("--rescan", "50ms")
    watched.until("it's.pt")
    for content in ("two!", "three", "fourth"):
        watched.write("it's.pt", content)
        watched.write(f"{content}.pt")
        watched.wait_for(len(watched.names()) + 1)
    code, said = ended(process)
    assert code == 2
    told = [line for line in said.splitlines() if "changed after it was spooled" in line]
    assert len(told) == 1
    assert "watch with --overwrite" in told[0]
    assert f"not spooled as they are: {watched.root}/it's.pt" in said
    command = told[0].partition("for this one: uploader ")[2]
    shell = watched.shell
    words = ["/bin/sh", "-c", f'"$0" -m uploader {command}', sys.executable]
    subprocess.run(words, cwd=shell.folder, env=shell.environment, check=True)
    with shell.spool() as spool:
        sizes = [one.size for one in spool.uploads() if one.name == "it's.pt"]
    assert sizes == [3, 6]
    assert watched.once().returncode == 0


def test_with_overwrite_a_change_is_a_new_version(watched: Watched) -> None:
    """Also one that is renamed over the old one, and one that was made while nobody watched."""
    watched.write("a.pt", "one")
    watched.once("--overwrite")
    watched.write("a.pt", "two!")
    process = watched.start("--overwrite", *NEVER)
    watched.wait_for(2)
    watched.shell.file("three", "other").rename(watched.root / "a.pt")
    watched.wait_for(3)
    code, said = ended(process)
    assert code == 0, said
    with watched.shell.spool() as spool:
        assert [one.size for one in spool.uploads()] == [3, 4, 5]
        assert spool.uploads()[-1].state is State.READY


def test_a_run_in_the_directory_of_the_one_before_has_artifacts_of_its_own(
    watched: Watched,
) -> None:
    """What it wrote anew, though it may be the same as before; nothing is replaced by that."""
    of_run = ("--name", "{run_name}/{path}")
    for name in ("changed", "same", "untouched"):
        watched.write(name)
    assert watched.once(*of_run, "--run", "r1").returncode == 0
    watched.write("changed", "of r2")
    watched.write("same")
    done = watched.once(*of_run, "--run", "r2")
    assert done.returncode == 0, done.stderr
    watched.until("r1/changed", "r1/same", "r1/untouched", "r2/changed", "r2/same")


def test_only_what_is_meant_is_spooled(watched: Watched) -> None:
    """No hidden, temporary or excluded file; no symlink, and nothing that one leads to."""
    outside = watched.shell.file("secret", "outside/secret.pt")
    for path in ("a.pt", "logs/b.pt", "c.txt", ".d.pt", "e.pt.tmp", ".git/f.pt", "no/g.pt"):
        watched.write(path)
    (watched.root / "link.pt").symlink_to(outside)
    (watched.root / "inner.pt").symlink_to("a.pt")
    (watched.root / "way").symlink_to(outside.parent)
    os.mkfifo(watched.root / "fifo.pt")
    assert watched.once("--pattern", "*.pt", "--exclude", "no").returncode == 0
    watched.until("a.pt", "logs/b.pt")
    watched.once("--pattern", "*.tmp", "--pattern", ".d*")
    watched.until("a.pt", "logs/b.pt", "e.pt.tmp", ".d.pt")


def test_the_spool_and_the_destination_may_be_in_the_directory(watched: Watched) -> None:
    """What is put there comes from here: it is not spooled again, for ever."""
    shell = watched.shell
    assert watched.spool is None
    shell.spool_path, shell.remote = watched.root / "spool", watched.root / "remote"
    watched.write("a.pt")
    process = watched.start("--rescan", "50ms")
    watched.until("a.pt")
    assert shell.run("drain").returncode == 0
    watched.write("b.pt")
    watched.until("a.pt", "b.pt")
    assert ended(process)[0] == 0
    watched.root = shell.spool_path / "blobs"
    inside = watched.once()
    assert inside.returncode == 2
    assert "inside the spool itself" in inside.stderr


def test_a_directory_may_come_later_and_be_replaced(watched: Watched) -> None:
    """It says that it waits; another one in its place is another one."""
    watched.root.rmdir()
    process = watched.start()
    assert process.stderr is not None
    assert "watching" in process.stderr.readline()
    assert "waiting for it to be there" in process.stderr.readline()
    watched.write("a.pt")
    watched.until("a.pt")
    watched.root.rename(watched.shell.folder / "old")
    watched.write("b.pt")
    watched.until("a.pt", "b.pt")
    shutil.rmtree(watched.root)
    watched.write("c.pt")
    watched.until("a.pt", "b.pt", "c.pt")
    assert ended(process)[0] == 0
    shutil.rmtree(watched.root)
    missing = watched.once()
    assert (missing.returncode, "out is no directory" in missing.stderr) == (2, True)


def test_sigterm_spools_what_is_complete_first(watched: Watched) -> None:
    """Though nobody told it yet: it looks once more. Exit code 0."""
    process = watched.start()
    watched.write("a.pt")
    watched.until("a.pt")
    stop(process)
    watched.write("b.pt")
    (watched.root / "empty").touch()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0
    watched.until("a.pt", "b.pt", "empty")


def test_a_full_spool_is_waited_for_and_nothing_is_missed(watched: Watched) -> None:
    """It says so, and goes on when there is room; one that can never fit stops no other."""
    limit = ("--max-bytes", "10")
    for name, size in (("a", 8), ("b", 7), ("c", 9), ("huge", 11)):
        watched.write(name, "x" * size)
    process = watched.start(*limit)
    watched.wait_for(1)
    spooled = watched.names()
    full = watched.once(*limit, "--when-full", "raise")
    assert full.returncode == 7
    assert "see what waits with: uploader status" in full.stderr
    for count in (2, 3):
        assert watched.shell.run("drain", "--quiet").returncode in (0, 4)
        watched.wait_for(count)
    code, said = ended(process)
    assert sorted(watched.names()) == ["a", "b", "c"]
    assert spooled[0] in "abc"
    assert "waiting for room in the spool" in said
    assert "the spool's limit is 10 in all: raise max_bytes" in said
    assert code == 2


def test_room_that_is_waited_for_is_made_by_an_agent(watched: Watched) -> None:
    """Nobody else may ever make any, and `--once` would never come back."""
    for name in "abc":
        watched.write(name, "x" * 8)
    process = watched.start("--once", "--agent", "auto", "--max-bytes", "10")
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, len(said.split())) == (0, 3)


def test_what_the_last_look_finds_has_an_agent(watched: Watched) -> None:
    """Nothing was spooled before it, so that none was started."""
    process = watched.start("--agent", "auto")
    assert process.stderr is not None
    assert "watching" in process.stderr.readline()
    stop(process)
    watched.write("a.pt")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0
    watched.shell.wait_until((watched.shell.remote / "a.pt").exists)


def test_a_file_that_cannot_be_spooled_is_named_and_stops_no_other(watched: Watched) -> None:
    """Exit code 2."""
    watched.write("a\nb")
    watched.write("c")
    done = watched.once()
    assert done.returncode == 2
    assert "contains a control character" in done.stderr
    watched.until("c")


def test_a_file_that_vanishes_is_told_and_no_error(watched: Watched) -> None:
    """Rotation was faster."""
    process = watched.start("--settle-open", "1h", *NEVER)
    with (watched.root / "gone").open("w") as file:
        file.write("x")
        file.flush()
        watched.write("a.pt")
        watched.until("a.pt")
        (watched.root / "gone").unlink()
    watched.write("b.pt")
    watched.until("a.pt", "b.pt")
    code, said = ended(process)
    assert code == 0
    assert f"gone before it was spooled: {watched.root}/gone" in said


def test_lost_events_lose_no_file(watched: Watched) -> None:
    """The kernel's queue overflows while the watch is stopped; what it told of makes it look."""
    process = watched.start(*NEVER, "--pattern", "*.pt")
    watched.write("a.pt")
    watched.until("a.pt")
    stop(process)
    room = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    paths = [watched.root / "1.log", watched.root / "2.log"]
    for number in range(room + 1):  # by turns, or the kernel would make one event of them
        os.close(os.open(paths[number % 2], os.O_WRONLY | os.O_CREAT))
    watched.write("b.pt")
    process.send_signal(signal.SIGCONT)
    watched.until("a.pt", "b.pt")
    code, said = ended(process)
    assert code == 0
    assert "events were lost" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "{epoch}/{path}"), "{epoch} is not a placeholder here; there are {path}"),
        (("--name", "{run_name}/{path}"), "say --run NAME, or set RUN_NAME"),
        (("--name", "x"), "every file would have the name 'x'"),
        (("--pattern", "../*.pt"), "no file below the directory"),
        (("--settle", "soon"), "not a duration"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_watched(
    watched: Watched, arguments: tuple[str, str], words: str
) -> None:
    """Exit code 2."""
    refused = watched.once(*arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
