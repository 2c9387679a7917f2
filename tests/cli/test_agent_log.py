"""The agent's lines are in `SPOOL/agent.log`: all, once, in bounded room; nothing hangs on it."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.place import Place
from tests.uploads import make_upload
from uploader import start_agent
from uploader.drain.observer import Load
from uploader.model import about
from uploader.observe import agent_log, log
from uploader.observe.agent_log import AgentLog

LOAD = Load(0, 1, 1)  #: what a supervisor tells, and nobody else


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A spool; logging is as before afterwards."""
    logger = logging.getLogger("uploader")
    before = logger.handlers[:], logger.propagate, logger.level
    place = Place(tmp_path)
    log.set_up(logging.INFO)
    yield place
    place.spool.close()
    logger.handlers[:], logger.propagate, logger.level = before


def logged(place: Place, number: str = "") -> list[str]:
    """Return the lines of the log, or of an older one, without their times."""
    text = Path(f"{place.spool.layout.agent_log}{number}").read_text()
    return [line.split(" ", 2)[-1] for line in text.splitlines()]


def say(text: str, **extra: object) -> None:
    """Log a line, as any module does."""
    logging.getLogger("uploader.room").info(text, **extra)  # type: ignore[arg-type]


def test_lines_are_in_the_log_and_on_stderr(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is known of an upload ends the line, always in the same order; the owner alone reads."""
    AgentLog(place.spool.layout)
    upload = make_upload(name="a name", attempts=1)
    say("it is\nso", extra=about(upload, error_class="transient", bytes=None, seconds=0.5))
    line = f'it is  upload_id={upload.id}  name="a name"  attempt=2  error_class=transient'
    line += "  seconds=0.5"
    assert logged(place) == [line, "  so"]
    assert capsys.readouterr().err.splitlines()[0].endswith(line)
    assert stat.S_IMODE(os.stat(place.spool.layout.agent_log).st_mode) == 0o600


def test_only_a_supervisor_rotates_and_the_oldest_goes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five are kept, the newest with the smallest number; modes stay."""
    monkeypatch.setattr(agent_log, "MAX_BYTES", 10)
    monkeypatch.setattr(agent_log, "LOOK", 0.0)
    kept = AgentLog(place.spool.layout)
    for number in range(8):
        say(f"line {number}")
        kept.tick(None)
        assert logged(place) == [f"line {number}"]
        kept.tick(LOAD)
        assert logged(place) == []
    assert [logged(place, f".{number}") for number in range(1, 6)] == [
        ["line 7"], ["line 6"], ["line 5"], ["line 4"], ["line 3"],
    ]  # fmt: skip
    logs = sorted(path.name for path in place.spool.path.glob("agent.log*"))
    assert logs == ["agent.log", *(f"agent.log.{number}" for number in range(1, 6))]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in place.spool.path.glob("agent.log*")}
    assert modes == {0o600}
    place.spool.layout.make()  # they are no strangers


def test_who_has_the_log_open_writes_to_it_after_a_rotation(place: Place) -> None:
    """As the stderr of a worker, or of an interpreter that dies: into the log, not after a hole."""
    kept = AgentLog(place.spool.layout)
    say("before")
    opened = os.open(place.spool.layout.agent_log, os.O_WRONLY | os.O_APPEND)
    agent_log.rotate(place.spool.layout)
    os.write(opened, b"2024-05-01 12:00:00 Traceback\n")
    os.close(opened)
    say("after")
    assert kept is not None
    assert logged(place, ".1") == ["before"]
    assert logged(place) == ["Traceback", "after"]


def test_a_log_that_was_moved_away_is_begun_anew(place: Place) -> None:
    """By a person, or by the system's own rotation."""
    AgentLog(place.spool.layout)
    say("before")
    os.rename(place.spool.layout.agent_log, f"{place.spool.layout.agent_log}.mine")
    say("after")
    assert (logged(place, ".mine"), logged(place)) == (["before"], ["after"])


def test_a_forked_process_does_not_write_to_a_number_that_is_another_files_by_now(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork server closes what it inherits; a worker's pipe may have the number."""
    appender = AgentLog(place.spool.layout)._appender
    say("of the supervisor")
    os.close(appender._descriptor)
    reader, writer = os.pipe()
    os.dup2(writer, appender._descriptor)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    say("of a worker")
    os.close(writer)
    os.close(reader)
    assert logged(place) == ["of the supervisor", "of a worker"]


def test_a_full_disk_costs_lines_and_is_said_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of which half was written does not run into the next."""
    appender = AgentLog(place.spool.layout)._appender
    write = os.write
    room = [9]

    def full(descriptor: int, data: bytes) -> int:
        if descriptor != appender._descriptor:
            return write(descriptor, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written, room[0] = write(descriptor, data[: room[0]]), 0
        return written

    monkeypatch.setattr(os, "write", full)
    say("one")
    say("two")
    monkeypatch.setattr(os, "write", write)
    say("three")
    said = capsys.readouterr().err
    assert said.count("cannot be kept: No space left on device") == 1
    assert "Traceback" not in said
    assert [said.count(f" {word}\n") for word in ("one", "two", "three")] == [1, 1, 1]
    assert place.spool.layout.agent_log.read_text().splitlines()[1].endswith(" three")


def test_a_rotation_that_fails_leaves_the_log_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and tried again after a while; the supervisor goes on."""
    monkeypatch.setattr(agent_log, "MAX_BYTES", 10)
    kept = AgentLog(place.spool.layout)
    say("a line that is long enough")
    os.mkdir(f"{place.spool.layout.agent_log}.1")
    kept.tick(LOAD)
    assert os.path.isdir(f"{place.spool.layout.agent_log}.1")
    assert logged(place) == ["a line that is long enough"]
    assert "cannot be kept" in capsys.readouterr().err
    assert not os.path.exists(f"{place.spool.layout.agent_log}.new")


def test_the_log_of_an_agent_that_a_trainer_starts_has_each_line_once(shell: Shell) -> None:
    """Its stderr is that log; one that is too large is rotated; lines have what is known."""
    shell.put("one")
    path = shell.spool_path / "agent.log"
    path.write_text("x" * (agent_log.MAX_BYTES + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPLOADER_LOG_FORMAT", "json")
        patch.setattr("uploader.drain.agent.EXIT_WHEN_IDLE", "1ms")
        assert start_agent(shell.spool_path, workers=1)
    shell.wait_until(lambda: path.stat().st_size < 10_000 and "leaves" in path.read_text())
    before = Path(f"{path}.1").read_text().lstrip("x")
    lines = [json.loads(line) for line in (before + path.read_text()).split("\n") if line]
    (done,) = [line for line in lines if line["message"].startswith("done")]
    assert (done["name"], done["attempt"], done["bytes"]) == ("one", 1, 7)
    assert len(done["upload_id"]) == 32
    assert len({line["message"] for line in lines}) == len(lines) >= 3


def test_an_error_in_a_worker_is_in_the_agents_log_with_its_traceback(shell: Shell) -> None:
    """One object a line, however many lines the traceback has."""
    shell.put("one")
    broken = {"UPLOADER_FAULTS": "delay=abc", "UPLOADER_LOG_FORMAT": "json"}
    agent = shell.start_supervisor("run", **broken)
    path = shell.spool_path / "agent.log"
    shell.wait_until(lambda: "could not convert string" in path.read_text())
    agent.kill()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (first, *_) = [line for line in lines if "unforeseen" in line["message"]]
    assert first["level"] == "error"
    assert "Traceback (most recent call last):" in first["message"]
    assert "worker.py" in first["message"]


def test_what_takes_the_logs_place_meanwhile_is_not_followed(shell: Shell) -> None:
    """The upload arrives, the lines are on stderr, and what the symlink leads to is untouched."""
    upload = shell.put("one")
    hold, victim = shell.file("", "hold"), shell.file("somebody's", "victim")
    agent = shell.start_supervisor("run", UPLOADER_FAULTS=f"hold={hold},only=put")
    shell.wait_until((shell.folder / "hold.reached").exists)
    (shell.spool_path / "agent.log").unlink()
    (shell.spool_path / "agent.log").symlink_to(victim)
    hold.unlink()
    shell.wait_until((shell.remote / "one").exists)
    agent.terminate()
    _, errors = agent.communicate(timeout=30)
    assert agent.returncode == 0, errors
    assert f"done: one (7 bytes)  upload_id={upload}  name=one  attempt=1" in errors
    assert errors.count("cannot be kept") == 1
    assert victim.read_text() == "somebody's"


def test_a_stderr_that_is_full_changes_no_exit_code(shell: Shell) -> None:
    """What cannot be said is not said; the drain's answer is its exit code."""
    shell.put("one")
    ended = shell.run("drain", "-v", prefix=["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh"])
    assert (ended.returncode, ended.stderr) == (0, "")
