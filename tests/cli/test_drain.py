"""`uploader drain` uploads everything, and its exit code says what came of it."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cli.shell import TIME_LIMIT, Shell
from uploader import agent_owner, drain

ALWAYS_FAILING = "transient=1"  #: every call to the store fails, and may be tried again

STATUS_KEYS = {
    "spool", "destination", "counts", "bytes", "oldest_ready_age_seconds",
    "throughput_bytes_per_second", "agent", "in_flight", "dead",
}  # fmt: skip


def test_exit_code_0_says_that_everything_arrived(shell: Shell) -> None:
    """Files and symlinks are at the destination; stdout stays empty, stderr sums up."""
    shell.put("ckpt/ep1.pt", "weights")
    shell.link("ckpt/ep1.pt", "ckpt/latest")
    ended = shell.run("drain")
    assert ended.returncode == 0, ended.stderr
    assert (shell.remote / "ckpt/latest").read_text() == "weights"
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"uploaded 2 artifacts (7 bytes) to {shell.url} in ")


def test_exit_code_0_for_a_spool_with_nothing_in_it(shell: Shell) -> None:
    """Nothing to do is success; the destination is not even looked at."""
    shell.spool().close()
    assert shell.run("drain").returncode == 0
    assert not shell.remote.exists()


def test_a_drain_with_nothing_to_do_sweeps_what_a_dead_producer_left(shell: Shell) -> None:
    """No supervisor is made for it, but a copy that was cut off does not stay for ever."""
    shell.spool().close()
    orphan = shell.spool_path / "staging" / ("0" * 32)
    orphan.write_text("half a copy")
    assert shell.run("drain").returncode == 0
    assert not orphan.exists()


def test_exit_code_3_says_that_dead_letters_remain(shell: Shell) -> None:
    """The dead letter is named with its reason and the command that mends it; the rest arrives."""
    shell.occupy("taken")
    shell.put("good")
    dead = shell.put("taken")
    ended = shell.run("drain")
    assert ended.returncode == 3
    assert (shell.remote / "good").exists()
    assert f"{dead}  taken: taken already exists, but overwrite was set to False" in ended.stderr
    assert f"uploader retry --spool {shell.spool_path} --all" in ended.stderr


def test_exit_code_4_says_that_the_deadline_passed(shell: Shell) -> None:
    """What remains is counted, with the command that goes on; it stays ready."""
    upload = shell.put("slow")
    ended = shell.run("drain", "--timeout", "300ms", UPLOADER_FAULTS=ALWAYS_FAILING)
    assert ended.returncode == 4
    assert "1 upload (7 bytes) to go; nothing is lost" in ended.stderr
    assert f"uploader drain --spool {shell.spool_path}" in ended.stderr
    assert shell.state(upload) == "ready"


def test_exit_code_5_says_that_the_destination_refused(shell: Shell) -> None:
    """No backlog of dead letters is made of it: everything stays ready."""
    shell.remote.write_text("a file where the destination's directory should be")
    upload = shell.put("one")
    ended = shell.run("drain", "--json")
    report = json.loads(ended.stdout)
    assert ended.returncode == report["exit_code"] == 5
    assert report["ending"] == "refused"
    assert str(shell.remote) in report["reason"]
    assert f"refused: {report['reason']}" in ended.stderr
    assert shell.state(upload) == "ready"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_exit_code_130_says_that_it_was_interrupted(shell: Shell, number: signal.Signals) -> None:
    """It says what remains and how to go on; nothing is lost."""
    upload = shell.put("one")
    process = shell.start_supervisor("drain", UPLOADER_FAULTS=ALWAYS_FAILING)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"Go on with: uploader drain --spool {shell.spool_path}" in errors
    assert "Traceback" not in errors
    assert shell.state(upload) == "ready"


def test_json_is_the_one_thing_on_stdout(shell: Shell) -> None:
    """The report has the ending, the reason, the exit code and the whole status."""
    shell.put("one", "1")
    shell.occupy("taken")
    shell.put("taken", "22")
    ended = shell.run("drain", "--json")
    report = json.loads(ended.stdout)
    assert set(report) == {"ending", "reason", "exit_code", "status"}
    assert (report["ending"], report["reason"], report["exit_code"]) == ("empty", None, 3)
    assert set(report["status"]) == STATUS_KEYS
    assert report["status"]["counts"]["done"] == 1
    assert [one["name"] for one in report["status"]["dead"]] == ["taken"]


def test_python_reads_the_same_report(shell: Shell) -> None:
    """`uploader.drain` runs this command and returns what it said."""
    shell.put("one")
    report = drain(shell.spool_path, workers=1, timeout=30)
    assert (report.exit_code, report.done, report.pending, report.dead) == (0, 1, 0, [])
    assert report.complete


def test_a_drain_waits_for_the_agent_that_runs(shell: Shell) -> None:
    """It does not fail on the agent's lock, and returns when all has arrived."""
    shell.spool().close()
    agent = shell.start_supervisor("run", "--workers", 1)
    shell.put("one")
    ended = shell.run("drain")
    assert ended.returncode == 0, ended.stderr
    assert (shell.remote / "one").exists()
    assert agent.poll() is None


def test_a_drain_that_watches_an_agent_hears_of_the_refusal_too(shell: Shell) -> None:
    """The agent asks again for ever; a drain beside it ends with 5 and the same words."""
    shell.put("a")
    shell.file("in the way", "remote")
    shell.start_supervisor("run")
    ended = shell.run("drain", "--timeout", "30s")
    assert ended.returncode == 5, ended.stderr
    assert "cannot write to destination" in ended.stderr


def test_a_drain_does_not_believe_a_refusal_from_before_it(shell: Shell) -> None:
    """Whoever has just mended the cause must not read of it again: the agent is asking soon."""
    shell.put("a")
    obstacle = shell.file("in the way", "remote")
    agent = shell.start_supervisor("run")
    shell.wait_until(lambda: (owner := agent_owner(shell.spool_path)) and owner.refusal)
    agent.send_signal(signal.SIGSTOP)
    obstacle.unlink()
    waiting = shell.start("drain", "--timeout", "50s")
    assert waiting.stderr
    assert "Waiting until it asks again" in waiting.stderr.readline()
    agent.send_signal(signal.SIGCONT)
    assert waiting.wait(TIME_LIMIT) == 0
    assert (shell.remote / "a").exists()


def test_a_drain_whose_time_is_over_before_the_agent_asks_again_tells_of_the_refusal(
    shell: Shell,
) -> None:
    """Only "time is over" would have people raise the limit."""
    shell.put("a")
    shell.file("in the way", "remote")
    shell.start_supervisor("run")
    shell.wait_until(lambda: (owner := agent_owner(shell.spool_path)) and owner.refusal)
    ended = shell.run("drain", "--timeout", "0s")
    assert ended.returncode == 5, ended.stderr
    assert "cannot write to destination" in ended.stderr


def test_a_cancel_that_a_crash_cut_off_is_carried_out_by_the_next(shell: Shell) -> None:
    """A person's wish is in the spool, not in the memory of the process that was asked."""
    upload_id = shell.put("a")
    hold = shell.file("", "hold")
    held = shell.start_supervisor("drain", UPLOADER_FAULTS=f"hold={hold},only=put")
    shell.wait_until((shell.folder / "hold.reached").exists)
    assert shell.run("cancel", upload_id).returncode == 0
    held.kill()
    held.wait()
    assert shell.run("drain").returncode == 0
    assert shell.state(upload_id) == "cancelled"
    assert not list(shell.remote.iterdir())


def test_a_flag_goes_over_the_environment_and_that_over_the_spool(shell: Shell) -> None:
    """For what the spool remembers: here the attempts before a failure is final."""
    shell.spool(options={"max_attempts": 7}).close()
    shell.run("drain", UPLOADER_MAX_ATTEMPTS="5")
    with shell.spool() as spool:
        assert spool.options.max_attempts == 5
    shell.run("drain", "--max-attempts", 2, UPLOADER_MAX_ATTEMPTS="5")
    with shell.spool() as spool:
        assert spool.options.max_attempts == 2


def test_max_attempts_makes_a_failure_final(shell: Shell) -> None:
    """Without it a transient failure is tried for ever."""
    upload = shell.put("one")
    ended = shell.run("drain", "--max-attempts", 1, UPLOADER_FAULTS=ALWAYS_FAILING)
    assert ended.returncode == 3
    assert shell.state(upload) == "dead"
