"""`uploader run` is the agent: one on a spool, until it is told to stop or has nothing to do."""

from __future__ import annotations

import json
import signal

from tests.cli.shell import Shell
from uploader import Spool


def test_the_agent_uploads_and_leaves_when_idle(shell: Shell) -> None:
    """With --exit-when-idle it goes by itself, and its exit code says that all arrived."""
    shell.put("one")
    ended = shell.run("run", "--workers", 1, "--exit-when-idle", "200ms")
    assert ended.returncode == 0, ended.stderr
    assert (shell.remote / "one").exists()
    assert "done: one" in ended.stderr
    assert ended.stdout == ""


def test_the_agent_stays_while_a_producer_lives(shell: Shell) -> None:
    """A spool that is open to put keeps it; it leaves when that is closed."""
    with Spool(shell.spool_path, shell.url):
        agent = shell.start_supervisor("run", "--exit-when-idle", "50ms")
        upload = shell.put("one")
        shell.wait_until(lambda: shell.state(upload) == "done")
        assert agent.poll() is None
    assert agent.wait(30) == 0


def test_a_second_agent_says_who_runs(shell: Shell) -> None:
    """By itself that is an error; one that was started to be sure that one runs leaves content."""
    shell.spool().close()
    first = shell.start_supervisor("run")
    ended = shell.run("run")
    assert ended.returncode == 2
    assert f"a supervisor (pid {first.pid}) already runs" in ended.stderr
    assert shell.run("run", "--exit-when-idle", "30s").returncode == 0
    assert first.poll() is None


def test_a_signal_ends_the_agent_in_good_order(shell: Shell) -> None:
    """With nothing left that is exit code 0; with work left 130."""
    shell.spool().close()
    agent = shell.start_supervisor("run")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 0
    shell.put("one")
    agent = shell.start_supervisor("run", UPLOADER_FAULTS="transient=1")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(30) == 130


def test_every_line_is_json_if_that_is_asked_for(shell: Shell) -> None:
    """A collector gets one object a line: log lines, the summary of a drain, and an error."""
    shell.put("one")
    drained = shell.run("drain", "-v", "--log-format", "json")
    refused = shell.run("cancel", "one", UPLOADER_LOG_FORMAT="json")
    lines = [json.loads(line) for line in (drained.stderr + refused.stderr).splitlines()]
    assert all({"time", "level", "logger", "message"} == set(line) for line in lines)
    said = [(line["level"], line["message"][:20]) for line in lines]
    assert ("info", "done: one (7 bytes)") in said
    assert ("notice", "uploaded 1 artifact ") in said
    assert said[-1] == ("error", "uploader: no unfinis")
