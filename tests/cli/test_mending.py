"""`uploader retry`, `cancel` and `gc` are a person's decisions over what is left."""

from __future__ import annotations

import os

import pytest

from tests.cli.shell import Shell
from uploader import agent_owner
from uploader.cli import gc
from uploader.spool.layout import Layout
from uploader.spool.ledger import Ledger
from uploader.spool.ownership import SupervisorLock

SESSION = ".uploader-" + "0" * 32  #: how the local store names an unfinished object


def test_retry_puts_dead_letters_back(shell: Shell) -> None:
    """By id, by name or all; it says what to run when nobody uploads."""
    upload = shell.make_dead("taken")
    (shell.remote / "taken").unlink()
    ended = shell.run("retry", "taken")
    assert ended.returncode == 0
    assert ended.stdout.split()[:2] == [upload, "ready"]
    assert f"uploader drain --spool {shell.spool_path}" in ended.stderr
    assert shell.run("drain").returncode == 0
    assert (shell.remote / "taken").read_text() == "content"


def test_what_is_damaged_is_not_told_to_be_tried_again(shell: Shell) -> None:
    """The log says what mends it, as `status` does: no retry does, another put does."""
    upload = shell.put("damaged")
    (shell.spool_path / "blobs" / upload[-2:] / upload).write_text("CONTENT")
    ended = shell.run("drain")
    assert ended.returncode == 3
    line = next(one for one in ended.stderr.splitlines() if "dead letter: damaged" in one)
    assert "uploader retry" not in line
    assert f"uploader cancel --spool {shell.spool_path} {upload}" in line
    shell.make_dead("taken")
    told = (shell.run("retry", "taken").stdout, shell.run("drain").stderr)
    assert f"uploader retry --spool {shell.spool_path} {told[0].split()[0]}" in told[1]


def test_cancel_gives_up_and_frees_the_bytes(shell: Shell) -> None:
    """What waits and what is dead; by id, and all the rest."""
    first, second, third = (shell.put(name) for name in ("one", "two", "three"))
    assert shell.run("cancel", first, "two").returncode == 0
    assert [shell.state(one) for one in (first, second, third)] == [
        "cancelled",
        "cancelled",
        "ready",
    ]
    assert shell.run("cancel", "--all").stdout.split()[:2] == [third, "cancelled"]
    blobs = [leaf for _, _, leaves in os.walk(shell.spool_path / "blobs") for leaf in leaves]
    assert blobs == []


def test_cancel_reaches_an_upload_that_is_under_way(shell: Shell) -> None:
    """The agent stops it and removes what it had sent."""
    shell.spool(options={"part_size": 1 << 20}).close()
    upload = shell.put("large", bytes(12 << 20))
    shell.start_supervisor("run", "--workers", 1, UPLOADER_FAULTS="delay=0.2")
    shell.wait_until(lambda: shell.state(upload) == "active")
    assert shell.run("cancel", upload).returncode == 0
    shell.wait_until(lambda: shell.state(upload) == "cancelled")
    assert not (shell.remote / "large").exists()


def test_cancel_says_what_stops_an_upload_that_a_kill_cut_off(shell: Shell) -> None:
    """No agent is there to do it: the command that does is named, and does."""
    shell.spool(options={"part_size": 1 << 20}).close()
    upload = shell.put("large", bytes(3 << 20))
    shell.run("drain", "--workers", 1, UPLOADER_CRASH_AT="supervisor.part-recorded")
    ended = shell.run("cancel", upload)
    assert ended.stdout.split()[:2] == [upload, "active"]
    assert f"uploader drain --spool {shell.spool_path}" in ended.stderr
    assert shell.run("drain").returncode == 0
    assert shell.state(upload) == "cancelled"
    assert list(shell.remote.iterdir()) == []
    shell.put("waits")
    assert shell.run("cancel", "waits").stderr == ""


def test_a_selection_must_name_something_that_is_there(shell: Shell) -> None:
    """Exit code 2 for nothing, for both, and for what the spool does not have."""
    shell.spool().close()
    assert "or say --all" in shell.run("retry").stderr
    assert shell.run("cancel", "one", "--all").returncode == 2
    ended = shell.run("retry", "nothing")
    assert ended.returncode == 2
    assert "no dead letter has the id or name 'nothing'" in ended.stderr


def test_gc_removes_old_orphans_and_keeps_what_is_needed(shell: Shell) -> None:
    """A session of this spool stays however old it is; so does another's that is young."""
    shell.spool(options={"part_size": 1 << 20}).close()
    shell.put("large", bytes(3 << 20))
    killed = shell.run("drain", "--workers", 1, UPLOADER_CRASH_AT="supervisor.part-recorded")
    assert killed.returncode < 0
    with shell.spool() as spool:
        (own,) = [one.session for one in spool.uploads()]
    assert own is not None
    (shell.remote / SESSION).write_text("left by a spool that is no more")
    assert shell.json("gc") == {"removed": [], "reaped": 0, "swept": 0}
    ended = shell.run("gc", "--older-than", "0s")
    assert ended.returncode == 0, ended.stderr
    assert f"removed at the destination: {SESSION}" in ended.stdout
    assert os.listdir(shell.remote) == [own]
    assert shell.run("drain").returncode == 0


def test_gc_forgets_finished_uploads_and_sweeps_the_spool(shell: Shell) -> None:
    """After the spool's keep_done; a file that no row names goes, unless an agent runs."""
    shell.put("one")
    assert shell.run("drain", "--keep-done", "1ms").returncode == 0
    stray = shell.spool_path / "staging" / ("f" * 32)
    stray.write_text("of a put that was killed")
    assert shell.json("gc") == {"removed": [], "reaped": 1, "swept": 1}
    assert shell.run("ls").stdout == ""
    agent = shell.start_supervisor("run")
    stray.write_text("of a put that was killed")
    assert shell.json("gc")["swept"] is None
    assert agent.poll() is None


def test_gc_does_not_turn_an_agent_away(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it sweeps nobody is named as the spool's owner: an agent that starts then waits."""
    shell.spool().close()
    seen: list[object] = []

    def sweep(layout: Layout, ledger: Ledger) -> int:
        seen.append(agent_owner(layout.root))
        seen.append(SupervisorLock(layout).try_acquire(1))
        return 0

    monkeypatch.setattr(gc, "sweep", sweep)
    with shell.in_process() as run_command:
        assert run_command(["gc", "--spool", str(shell.spool_path)]) == 0
    assert seen == [None, False]
