"""A preemption notice reaches the agent, whoever gives it: deadline, last uploads, exit code 4."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.shell import Shell
from tests.crash.processes import children_of, kill
from tests.servers.metadata import Metadata, metadata_running

ALWAYS_FAILING = "transient=1"
NOTICED = "preemption notice: "


@pytest.fixture
def metadata(shell: Shell) -> Iterator[Metadata]:
    """A machine's metadata service, to which commands are sent by the SDKs' variables."""
    with metadata_running() as service:
        shell.environment |= service.environment
        yield service


def watchers(pid: int) -> list[int]:
    """Return the processes of a supervisor that watch for a notice."""
    return [child for child in children_of(pid) if _says(child, b"notice_source.py")]


def line_of(process: subprocess.Popen[str], words: str) -> str:
    """Return the next line with these words."""
    assert process.stderr is not None
    return next(line for line in process.stderr if words in line)


def log_of(process: subprocess.Popen[str], seconds: float = 30) -> str:
    """Return what a process said until it ended."""
    return process.communicate(timeout=seconds)[1]


def test_a_notice_of_ec2_ends_the_agent_in_time(shell: Shell, metadata: Metadata) -> None:
    """IMDSv2, with a token; before the end that it names; what remains is said, exit code 4."""
    shell.put("ckpt/ep1.pt")
    metadata.reclaim(3.5)
    agent = shell.start_supervisor("run", "--preempt-notice", "aws", UPLOADER_FAULTS=ALWAYS_FAILING)
    said = log_of(agent)
    assert agent.returncode == 4, said
    assert f"{NOTICED}EC2 is to terminate this instance at " in said
    assert "1 upload (7 bytes) to go, the newest: ckpt/ep1.pt; " in said
    assert f"Go on with: uploader drain --spool {shell.spool_path}" in said
    assert set(metadata.answers("/latest/meta-data/spot/instance-action")) == {200}
    assert metadata.answers("/latest/api/token") == [200]
    assert shell.run("drain").returncode == 0


def test_a_notice_of_compute_engine_comes_at_once(shell: Shell, metadata: Metadata) -> None:
    """The service answers when something changes; what is logged afterwards still arrives."""
    shell.spool().close()
    agent = shell.start_supervisor("run", UPLOADER_PREEMPT_NOTICE="gcp")
    question = "/computeMetadata/v1/instance/preempted"
    shell.wait_until(lambda: metadata.answers(question))
    metadata.preempt()
    line = line_of(agent, NOTICED)
    assert "Compute Engine preempts this machine" in line
    seconds = re.search(r", in (\d+) s\.", line)  # from the service's word on
    assert seconds
    assert 20 <= int(seconds[1]) <= 30
    upload = shell.put("last")
    shell.wait_until(lambda: shell.state(upload) == "done")
    assert set(metadata.answers(question)) == {200}
    agent.terminate()
    log_of(agent)
    assert agent.returncode == 0


def test_a_file_gives_notice_when_it_appears(shell: Shell) -> None:
    """Its text says when; an agent that comes later, or a drain, has what is left of that time."""
    shell.put("one")
    notice = shell.folder / "notice"
    source = ["--preempt-notice", "file:notice"]
    agent = shell.start_supervisor("run", *source, UPLOADER_FAULTS=ALWAYS_FAILING)
    (shell.folder / "made").write_text("3500ms")
    (shell.folder / "made").rename(notice)
    said = log_of(agent)
    assert agent.returncode == 4
    assert f"{notice} says that this machine goes" in said
    later = shell.run("drain", *source, UPLOADER_FAULTS=ALWAYS_FAILING)
    assert later.returncode == 4, later.stderr
    assert "Go on with: uploader drain" in later.stderr


def test_a_notice_of_another_life_is_left_alone(shell: Shell) -> None:
    """A file that is still there on the machine's next day does not keep it from uploading."""
    upload = shell.put("one")
    notice = shell.file("30s", "notice")
    os.utime(notice, (1e9, 1e9))
    agent = shell.start_supervisor("run", "--preempt-notice", f"file:{notice}")
    said = line_of(agent, NOTICED)
    assert "long past" in said
    assert f"remove {notice}" in said
    shell.wait_until(lambda: shell.state(upload) == "done")
    assert agent.poll() is None


@pytest.mark.parametrize("kind", ["aws", "gcp"])
def test_a_service_that_is_not_there_is_said_once(shell: Shell, kind: str, nowhere: str) -> None:
    """On another cloud, or a workstation: uploads go on, and nobody waits for it."""
    shell.environment |= {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": nowhere,
        "GCE_METADATA_HOST": nowhere.removeprefix("http://"),
    }
    upload = shell.put("one")
    agent = shell.start_supervisor("run", "--preempt-notice", kind)
    assert "does not answer" in line_of(agent, "no preemption notice")
    shell.wait_until(lambda: shell.state(upload) == "done")
    agent.terminate()
    assert "no preemption notice" not in log_of(agent)
    assert agent.returncode == 0


def test_a_watcher_that_is_killed_is_replaced(shell: Shell) -> None:
    """There is one at a time, and it hears of the notice; a second kill costs a while longer."""
    shell.put("one")
    notice = shell.folder / "notice"
    agent = shell.start_supervisor(
        "run", "--preempt-notice", "file:notice", UPLOADER_FAULTS=ALWAYS_FAILING
    )
    shell.wait_until(lambda: len(watchers(agent.pid)) == 1)
    (first,) = watchers(agent.pid)
    assert kill(first)
    shell.wait_until(lambda: watchers(agent.pid) not in ([], [first]))
    assert len(watchers(agent.pid)) == 1
    (shell.folder / "made").write_text("3s")
    (shell.folder / "made").rename(notice)  # read while it was empty, it would leave half a minute
    said = log_of(agent)
    assert agent.returncode == 4
    assert said.count("another one is begun") == 1


def test_a_watcher_ends_with_its_supervisor(shell: Shell) -> None:
    """However that ends; a signal to both, as of a terminal, is not the watcher's to act on."""
    shell.spool().close()
    source = ["--preempt-notice", "file:notice"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        agent = shell.start_supervisor("run", *source)
        line_of(agent, "there is none")
        (watcher,) = watchers(agent.pid)
        os.kill(watcher, signal.SIGTERM)
        agent.send_signal(number)
        assert "another one" not in log_of(agent)
        shell.wait_until(lambda: not _says(watcher, b"notice_source.py"))  # noqa: B023  used here


def test_another_source_is_an_error_of_usage(shell: Shell) -> None:
    """Before anything is done."""
    shell.spool().close()
    ended = shell.run("run", "--preempt-notice", "azure")
    assert ended.returncode == 2
    assert "write aws, gcp or file:PATH" in ended.stderr


def _says(pid: int, word: bytes) -> bool:
    try:
        return word in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
