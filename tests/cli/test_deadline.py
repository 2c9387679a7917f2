"""Before a deadline what is worth most goes first; after SIGTERM what can arrive is finished."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from tests.cli.shell import Shell

MIB = 1 << 20


def done(text: str) -> list[str]:
    """Return what arrived, in that order, of log lines."""
    return re.findall(r"done: (\S+)", text)


def put_large(shell: Shell, *names: str, size: int = 5 * MIB) -> None:
    """Spool files that go in parts of 1 MiB."""
    with shell.spool(options={"part_size": MIB}) as spool:
        source = shell.file(b"x" * size)
        for name in names:
            spool.put_file(name, source)


def begin_slowly(shell: Shell, command: str, *arguments: object) -> subprocess.Popen[str]:
    """Begin to send 4 MiB a second; return when the first part has arrived."""
    process = shell.start_supervisor(command, "--max-bandwidth", "4MiB", *arguments)
    with shell.spool() as spool:
        shell.wait_until(lambda: any(sent for _, sent in spool.ledger.progress().values()))
    return process


def begin_and_hold(shell: Shell, command: str, *arguments: object) -> subprocess.Popen[str]:
    """Begin, and return when parts are under way, which are held as long as there is `hold`."""
    hold = shell.file("", "hold")
    held = f"hold={hold},only=put_part"
    process = shell.start_supervisor(command, *arguments, UPLOADER_FAULTS=held)
    shell.wait_until((shell.folder / "hold.reached").exists)
    return process


def sent_of_one(shell: Shell) -> int:
    """Return how many bytes of the only upload have arrived."""
    with shell.spool() as spool:
        (upload,) = spool.uploads()
        return spool.ledger.newest.sent([upload.seq])[upload.seq]


def ended(process: subprocess.Popen[str]) -> str:
    """Return what a process said until its end."""
    return process.communicate(timeout=30)[1]


def test_before_a_deadline_the_newest_checkpoint_goes_first(shell: Shell) -> None:
    """Its symlink right behind it; without a deadline they go as they came."""
    for number in range(1, 4):
        shell.put(f"ep{number}", b"x" * (2 * MIB))
    shell.link("ep3", "latest")
    shell.put("small", "x")
    there = shell.run("drain", "--timeout", "60s", "--workers", 1, "-v")
    assert done(there.stderr) == ["small", "ep3", "latest", "ep2", "ep1"]
    for number in range(4, 7):
        shell.put(f"ep{number}", b"x" * (2 * MIB))
    assert done(shell.run("drain", "--workers", 1, "-v").stderr) == ["ep4", "ep5", "ep6"]


def test_what_is_logged_before_the_deadline_goes_before_what_waits(shell: Shell) -> None:
    """The checkpoint that a training run saves when it hears of its preemption, too."""
    notice = shell.file("60s", "notice")
    hold = shell.file("", "hold")
    for number in range(3):
        shell.put(f"old{number}", b"x" * (2 * MIB))
    agent = shell.start_supervisor(
        "run", "--workers", 1, "--preempt-notice", f"file:{notice}",
        UPLOADER_FAULTS=f"hold={hold},only=put",
    )  # fmt: skip
    shell.wait_until((shell.folder / "hold.reached").exists)
    log = shell.spool_path / "agent.log"
    shell.wait_until(lambda: "preemption notice: " in log.read_text())
    last = shell.put("last", b"x" * (2 * MIB))
    hold.unlink()
    shell.wait_until(lambda: shell.state(last) == "done")
    with shell.spool() as spool:
        shell.wait_until(lambda: not spool.pending())
    agent.terminate()
    assert done(ended(agent))[1] == "last"


def test_what_is_small_does_not_wait_for_large_files_that_wait(shell: Shell) -> None:
    """Neither a file that is logged meanwhile, nor its symlink: two large ones go at a time."""
    large = [f"large{number}" for number in range(10)]
    put_large(shell, *large, size=4 * MIB)
    process = begin_slowly(shell, "drain", "-v")
    shell.put("small", "x")
    shell.link("small", "latest")
    order = done(ended(process))
    assert sorted(order) == sorted([*large, "small", "latest"])
    assert order.index("latest") < order.index("large6"), "not when the last two are begun"


def test_sigterm_has_what_is_under_way_finished(shell: Shell) -> None:
    """Two files of three are, in ten seconds, to their last request; the third is not begun.

    What remains is said: how much, the newest, and the command that goes on.
    """
    put_large(shell, "a", "b", "c")
    agent = begin_and_hold(shell, "run")
    with shell.spool() as spool:
        shell.wait_until(lambda: len(spool.ledger.active()) == 2)
    shell.send(agent, signal.SIGTERM)
    (shell.folder / "hold").unlink()
    said = ended(agent)
    assert agent.returncode == 130, said
    assert sorted(done(said)) == ["a", "b"]
    left = "agent leaves (interrupted): 1 upload (5.0 MiB) to go, the newest: c; "
    assert left in said
    assert f"Go on with: uploader drain --spool {shell.spool_path}" in said
    assert not list(shell.remote.glob("c*"))


def test_a_symlink_goes_with_the_checkpoint_that_is_finished(shell: Shell) -> None:
    """It is one request, and a run that starts again asks for it."""
    put_large(shell, "ep1")
    shell.link("ep1", "latest")
    agent = begin_slowly(shell, "run")
    agent.terminate()
    assert done(ended(agent)) == ["ep1", "latest"]
    assert agent.returncode == 0


def test_with_a_grace_all_that_can_arrive_in_it_is_sent(shell: Shell) -> None:
    """New uploads too; then it leaves, though there is time left."""
    put_large(shell, "a", "b", "c", size=4 * MIB)
    drain = begin_slowly(shell, "drain", "--grace", "60s", "-v")
    drain.terminate()
    said = ended(drain)
    assert drain.returncode == 0, said
    assert sorted(done(said)) == ["a", "b", "c"]


def test_what_cannot_arrive_in_time_is_not_gone_on_with(shell: Shell) -> None:
    """Parts in flight are let finish and are kept; it leaves long before the ten seconds.

    What has arrived is shown also while nothing is under way any more.
    """
    put_large(shell, "large", size=64 * MIB)
    agent = begin_slowly(shell, "run")
    agent.terminate()
    said = ended(agent)
    assert agent.returncode == 130
    to_go = re.search(r"1 upload \((\d+)\.0 MiB of 64\.0 MiB\) to go, the newest: large", said)
    sent = sent_of_one(shell)
    assert MIB <= sent <= 16 * MIB
    assert to_go, said
    assert int(to_go[1]) * MIB == 64 * MIB - sent
    assert shell.json("status")["bytes"] == {"pending": 64 * MIB - sent, "sent": sent, "done": 0}


def test_ctrl_c_waits_for_no_more_than_the_steps_under_way(shell: Shell) -> None:
    """A person is there, who would rather go on later."""
    put_large(shell, "a")
    agent = begin_and_hold(shell, "run")
    shell.send(agent, signal.SIGINT)
    (shell.folder / "hold").unlink()
    assert done(ended(agent)) == []
    assert agent.returncode == 130
    assert MIB <= sent_of_one(shell) < 5 * MIB


def test_a_second_signal_ends_it_at_once(shell: Shell) -> None:
    """Whatever the grace; steps in flight are left."""
    put_large(shell, "a")
    agent = begin_and_hold(shell, "run", "--grace", "1h")
    shell.send(agent, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        agent.wait(0.5)  # it lets its steps finish
    agent.terminate()
    assert agent.wait(30) == 130
