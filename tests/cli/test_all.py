"""`drain --all` and `status --all` see to every spool below a directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell
from uploader import Spool, agent_owner

ALWAYS_FAILING = "transient=1"


class Node:
    """A directory of spools, each with a destination of its own, below a shell's folder."""

    def __init__(self, shell: Shell) -> None:
        """Make no spool yet."""
        self.shell = shell
        self.spools = shell.folder / "spools"
        self.remotes = shell.folder / "remotes"
        self.spools.mkdir()

    def put(self, spool: str, name: str, content: str = "content") -> None:
        """Spool a file in one of them, making it first."""
        where = self.spools / spool
        where.parent.mkdir(parents=True, exist_ok=True)
        with Spool(where, f"file://{self.remotes / spool}", producer=False) as opened:
            opened.put_file(name, self.shell.file(content), overwrite=False)

    def run(
        self, command: str, *arguments: object, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `uploader COMMAND --all` on all of them."""
        return self.shell.run(
            command, "--all", "--spool", self.spools, *arguments, spool=False, **more
        )


@pytest.fixture
def node(shell: Shell) -> Node:
    """Return a node without spools."""
    return Node(shell)


def test_all_spools_below_a_directory_are_drained(node: Node) -> None:
    """Also nested ones; each is told with its exit code, and 0 says that all of it arrived."""
    for spool in ("a", "deeper/b", "deeper/c"):
        node.put(spool, "one", spool)
    ended = node.run("drain")
    assert ended.returncode == 0, ended.stderr
    assert {spool: (node.remotes / spool / "one").read_text() for spool in ("a", "deeper/c")} == {
        "a": "a",
        "deeper/c": "deeper/c",
    }
    assert f"   0  {node.spools}/deeper/b: nothing to go\n" in ended.stderr
    assert f"{node.spools}/a: uploaded 1 artifact (1 bytes) to file://" in ended.stderr


def test_the_gravest_exit_code_is_that_of_all(node: Node) -> None:
    """One that is refused, one with a dead letter, one whose database is gone; others go on."""
    for spool in ("good", "dead", "refused", "lost"):
        node.put(spool, "one")
    node.shell.file("somebody else's", "remotes/dead/one")
    node.shell.file("a file where the directory should be", "remotes/refused")
    for path in (node.spools / "lost").glob("spool.db*"):
        path.unlink()
    ended = node.run("drain", "--json")
    reports = [json.loads(line) for line in ended.stdout.splitlines()]
    codes = {Path(one["status"]["spool"]).name: one["exit_code"] for one in reports}
    assert codes == {"good": 0, "dead": 3, "refused": 5, "lost": 6}
    assert ended.returncode == 6
    assert (node.remotes / "good/one").exists()
    assert f"   3  {node.spools}/dead: nothing to go, 1 dead letter\n" in ended.stderr


def test_all_share_one_deadline(node: Node) -> None:
    """More spools than are drained at once: the last ones, too, say what remains in them."""
    names = [f"spool-{number}" for number in range(6)]
    for name in names:
        node.put(name, "one")
    ended = node.run("drain", "--timeout", "300ms", UPLOADER_FAULTS=ALWAYS_FAILING)
    assert ended.returncode == 4
    for name in names:
        assert f"   4  {node.spools}/{name}: 1 upload to go\n" in ended.stderr


def test_a_signal_is_handed_on_to_each_once(node: Node) -> None:
    """They leave as after one SIGTERM, with exit code 130; those that wait are not begun."""
    names = [f"spool-{number}" for number in range(5)]
    for name in names:
        node.put(name, "one")
    process = node.shell.start(
        "drain", "--all", "--spool", node.spools, UPLOADER_FAULTS=ALWAYS_FAILING
    )
    node.shell.wait_until(lambda: all(agent_owner(node.spools / name) for name in names[:4]))
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f" 130  {node.spools}/spool-0: 1 upload to go\n" in said
    assert f" 130  {node.spools}/spool-4: interrupted before its turn\n" in said
    assert not any(agent_owner(node.spools / name) for name in names)


def test_one_that_takes_no_signals_yet_counts_as_interrupted(node: Node) -> None:
    """It is ended by the signal itself, while it loads; an internal error it is not."""
    node.put("a", "one")
    node.shell.file(
        "import pathlib, signal, sys\n"
        "if '--all' not in sys.orig_argv and 'drain' in sys.orig_argv:\n"
        "    pathlib.Path(__file__).with_name('loading').touch()\n"
        "    signal.pause()\n",
        "slow/sitecustomize.py",
    )
    way = os.pathsep.join([str(node.shell.folder / "slow"), os.environ.get("PYTHONPATH", "")])
    process = node.shell.start("drain", "--all", "--spool", node.spools, PYTHONPATH=way)
    node.shell.wait_until((node.shell.folder / "slow/loading").exists)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f" 130  {node.spools}/a: interrupted before it began\n" in said


def test_options_hold_for_each_that_can_have_them(node: Node) -> None:
    """A flag for buckets does not stop the drain to a directory; one that fits is heard there."""
    node.put("a", "one")
    given = ("--storage-class", "NEARLINE", "--max-attempts", 1, "--timeout", "20s")
    assert node.run("drain", *given, UPLOADER_FAULTS=ALWAYS_FAILING).returncode == 3


def test_what_was_said_holds_for_each(node: Node) -> None:
    """Workers, words and metrics: a directory of these has a file of each spool."""
    for spool in ("a", "b"):
        node.put(spool, "one")
    (node.shell.folder / "metrics").mkdir()
    ended = node.run("drain", "-v", "--workers", 1, "--metrics-file", node.shell.folder / "metrics")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("done: one") == 2, "-v was not said to each"
    assert len(list((node.shell.folder / "metrics").glob("*.prom"))) == 2


def test_lines_stay_json_where_json_was_asked_for(node: Node) -> None:
    """Nothing is put before what a collector reads."""
    node.put("a", "one")
    ended = node.run("drain", "--log-format", "json")
    assert all(json.loads(line)["level"] for line in ended.stderr.splitlines())


def test_without_a_directory_the_users_own_spools_are_meant(shell: Shell) -> None:
    """Those that were made for a destination, without a name; none at all is nothing to do."""
    state = str(shell.folder / "state")
    nothing = shell.run("drain", "--all", spool=False, XDG_STATE_HOME=state)
    assert (nothing.returncode, nothing.stderr) == (0, f"no spools below {state}/uploader\n")
    source = shell.file("weights")
    put = shell.run("put", "--destination", shell.url, source, spool=False, XDG_STATE_HOME=state)
    assert put.returncode == 0
    assert shell.run("drain", "--all", spool=False, XDG_STATE_HOME=state).returncode == 0
    assert (shell.remote / "source").read_text() == "weights"


def test_a_directory_that_is_not_there_is_an_error_of_usage(shell: Shell) -> None:
    """A typing error at the end of a job must not look like success."""
    for command in ("drain", "status"):
        ended = shell.run(command, "--all", "--spool", shell.folder / "none", spool=False)
        assert ended.returncode == 2
        assert "no such directory" in ended.stderr


def test_a_symlink_to_a_spool_is_not_followed(node: Node) -> None:
    """A spool elsewhere is not this directory's; nor is anything looked for inside a spool."""
    node.put("a", "one")
    (node.shell.folder / "elsewhere").mkdir()
    (node.spools / "link").symlink_to(node.shell.folder / "elsewhere")
    node.put("../elsewhere/b", "two")
    assert len(node.run("status", "--json").stdout.splitlines()) == 1


def test_status_of_all_has_a_line_for_each(node: Node) -> None:
    """With its agent, counts and age; below them the dead letters and what mends them."""
    node.put("a", "one")
    node.put("b", "one")
    node.shell.file("somebody else's", "remotes/b/one")
    node.shell.run("drain", "--spool", node.spools / "b", spool=False)
    shown = node.run("status")
    assert shown.returncode == 0
    headings, first, second, *rest = shown.stdout.splitlines()
    assert headings.split()[:5] == ["spool", "agent", "ready", "active", "dead"]
    assert first.split()[:7] == [f"{node.spools}/a", "-", "1", "0", "0", "7", "bytes"]
    assert second.split()[:5] == [f"{node.spools}/b", "-", "0", "0", "1"]
    assert any("uploader retry --spool" in line for line in rest)


def test_status_of_all_shows_the_others_beside_a_damaged_one(node: Node) -> None:
    """The damaged one is told, and is the exit code."""
    node.put("a", "one")
    node.put("b", "one")
    (node.spools / "b/spool.db").write_bytes(b"garbage" * 1000)
    shown = node.run("status", "--json")
    assert shown.returncode == 6
    assert [json.loads(line)["spool"] for line in shown.stdout.splitlines()] == [f"{node.spools}/a"]
    assert f"uploader: {node.spools}/b: " in shown.stderr
