"""`uploader nodes` tells what each node last said that it holds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.place import Place
from uploader import Spool
from uploader.drain import node_report
from uploader.drain.node_report import FOLDER, NodeReport
from uploader.drain.steps import Answer, Failure
from uploader.errors import ErrorClass
from uploader.readback import nodes as readback

UPLOADS_FAIL = "only=head,transient=1"  #: at a file system, each upload asks; a report does not
REPORTS_FAIL = "only=put,refuse=.uploader-nodes/*"


def reported(shell: Shell) -> None:
    """Have a spool that reports, with a file and its alias in it."""
    made = shell.run("init", "--destination", shell.url, "--node-report")
    assert made.returncode == 0, made.stderr
    shell.put("ckpt/ep1.pt", "weights")
    shell.link("ckpt/ep1.pt", "ckpt/latest")


def cut_short(shell: Shell) -> None:
    """Begin a drain that gets nowhere, and end it when it has reported."""
    drain = shell.start("drain", UPLOADER_FAULTS=UPLOADS_FAIL)
    shell.wait_until(lambda: list(shell.remote.glob(f"{FOLDER}/*.json")))
    drain.terminate()
    drain.communicate(timeout=30)
    assert drain.returncode == 130


def test_a_node_that_was_asked_for_it_leaves_a_report(shell: Shell) -> None:
    """What had not arrived is named, newest first, for any machine; the exit code says so."""
    reported(shell)
    cut_short(shell)
    told = shell.run("nodes", "--destination", shell.url, spool=False, XDG_STATE_HOME="/nowhere")
    first, *names = told.stdout.splitlines()
    assert "2 uploads to go, said " in first
    assert names == ["  ckpt/latest  symlink", "  ckpt/ep1.pt  7 bytes"]
    assert told.returncode == 4
    report = shell.json("nodes")
    assert [one["name"] for one in report["pending"]] == ["ckpt/latest", "ckpt/ep1.pt"]
    assert report["spool"] == str(shell.spool_path)
    assert report["counts"]["ready"] + report["counts"]["active"] == 2


def test_where_no_node_reports_it_says_so(shell: Shell) -> None:
    """No report is not the same as nothing held; a program gets no line, and the same exit code."""
    shell.put("one")
    told = shell.run("nodes", "--destination", shell.url, spool=False, XDG_STATE_HOME="/nowhere")
    assert (told.returncode, told.stdout) == (0, "")
    assert f"no node reports at {shell.url}" in told.stderr
    assert "--node-report" in told.stderr


def test_the_last_report_of_a_drain_says_that_nothing_is_left(shell: Shell) -> None:
    """A node that went in good order is told from one that did not; its dead letters are told."""
    reported(shell)
    assert shell.run("drain").returncode == 0
    told = shell.run("nodes")
    assert told.returncode == 0
    assert "nothing to go, said " in told.stdout
    shell.make_dead("taken")
    told = shell.run("nodes")
    assert told.returncode == 3
    assert "nothing to go, 1 dead letter" in told.stdout


def test_an_agent_that_is_told_to_leave_says_what_is_left(shell: Shell) -> None:
    """It says so on its way out, however lately it has reported."""
    reported(shell)
    agent = shell.start_supervisor("run", "--workers", "1", UPLOADER_FAULTS=UPLOADS_FAIL)
    shell.wait_until(lambda: list(shell.remote.glob(f"{FOLDER}/*.json")))
    shell.put("ckpt/ep2.pt", "weights")
    agent.terminate()
    agent.communicate(timeout=30)
    assert shell.json("nodes")["pending"][0]["name"] == "ckpt/ep2.pt"


def test_the_last_report_before_a_deadline_says_what_is_left_then(shell: Shell) -> None:
    """Though no worker is free at the end: all are busy with what does not arrive any more."""
    reported(shell)
    for number in range(6):
        shell.put(f"ep{number}", b"x" * (4 << 20))
    cut = shell.run("drain", "--timeout", "6s", "--max-bandwidth", "2MiB", "--workers", 1)
    assert cut.returncode == 4
    told = shell.json("nodes")["counts"]
    assert told["done"] >= shell.json("status")["counts"]["done"] - 1


def test_without_the_option_nothing_is_added_to_the_destination(shell: Shell) -> None:
    """Nobody finds objects in his bucket that he has not asked for."""
    shell.put("one")
    assert shell.run("drain").returncode == 0
    assert [path.name for path in shell.remote.rglob("*")] == ["one"]
    assert shell.run("nodes").stdout == ""


def test_a_report_that_is_refused_keeps_nothing_from_arriving(shell: Shell) -> None:
    """The drain ends, says once what could not be written, and its exit code is of the uploads."""
    reported(shell)
    ended = shell.run("drain", UPLOADER_FAULTS=REPORTS_FAIL)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("report .uploader-nodes/") == 1
    assert (shell.remote / "ckpt/latest").read_text() == "weights"


def test_what_is_no_report_is_left_out(shell: Shell) -> None:
    """Whatever somebody else has put there: it is not shown, and nothing breaks."""
    reported(shell)
    assert shell.run("drain").returncode == 0
    for number, text in enumerate(("", "[]", "{}", "[" * 100_000, '{"at": "x"}', "\x00")):
        (shell.remote / FOLDER / f"{number}.json").write_text(text)
    assert len(shell.run("nodes").stdout.splitlines()) == 1


def test_the_longest_report_is_read(tmp_path: Path) -> None:
    """One that is left out for its length would say that its node holds nothing."""
    few = 10
    longest = "/".join(["é" * 100] * 5)  # in JSON three times as long as its bytes
    place = Place(tmp_path)
    Spool(place.spool.path, options={"node_report": "true"}, producer=False).close()
    for state in ("dead", "ready"):
        for number in range(few):
            upload_id = place.link(f"{longest}/{number}", f"{longest}-{state}/{number}")
            if state == "dead":
                place.die(upload_id, ErrorClass.PERMANENT, "é" * 9999)
    step = NodeReport(place.spool).next_step()
    assert step
    assert step.size * node_report.NAMED / few < readback.MOST
    place.store.prepare(first=True)
    step.perform(place.store)
    assert [(one.pending, one.dead) for one in readback.nodes_of(place.store)] == [(few, few)]
    place.spool.close()


def test_text_of_a_report_cannot_hurt_a_terminal(shell: Shell) -> None:
    """Another node may have been taken over."""
    reported(shell)
    cut_short(shell)
    (path,) = (shell.remote / FOLDER).iterdir()
    report = json.loads(path.read_text())
    path.write_text(json.dumps({**report, "node": "\x1b[2Jevil"}))
    assert "\x1b" not in shell.run("nodes").stdout


class TestWhen:
    """A report is due at the first upload, later only now and then, and at the end."""

    @pytest.fixture
    def report(self, shell: Shell) -> NodeReport:
        """Return the report of a spool that has something in it."""
        reported(shell)
        return NodeReport(shell.spool())

    def test_nothing_is_said_twice(self, report: NodeReport) -> None:
        """A report that would say the same is not put, at the end either."""
        assert report.next_step()
        assert report.next_step() is None, "one is in flight"
        report.answered(Answer())
        assert report.finished
        assert report.next_step(last=True) is None

    def test_changes_wait_for_their_time_unless_it_is_the_last(
        self, report: NodeReport, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A service is not asked more often than every half minute; at the end at once."""
        assert report.next_step()
        report.answered(Answer())
        shell.put("more")
        assert report.next_step() is None
        assert not report.finished
        later = time.monotonic() + node_report.EVERY
        monkeypatch.setattr("uploader.clock.monotonic", lambda: later)
        assert report.next_step()
        report.answered(Answer())
        shell.put("and more")
        assert report.next_step(last=True)

    def test_before_a_deadline_changes_are_told_soon(
        self, report: NodeReport, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In its last seconds, and not before them."""
        assert report.next_step(left=60)
        report.answered(Answer())
        shell.put("more")
        later = time.monotonic() + node_report.EVERY_SOON
        monkeypatch.setattr("uploader.clock.monotonic", lambda: later)
        assert report.next_step(left=60) is None
        assert report.next_step(left=node_report.SOON / 2)

    def test_a_last_report_is_given_up_after_some_tries(self, report: NodeReport) -> None:
        """It must not keep a drain from ending."""
        failed = Answer(failure=Failure(ErrorClass.TRANSIENT, "nobody answers"))
        for _ in range(node_report.TRIES):
            assert not report.finished
            assert report.next_step(last=True)
            report.answered(failed)
        assert report.finished

    def test_what_was_given_up_is_not_tried_again_until_there_is_news(
        self, report: NodeReport, shell: Shell
    ) -> None:
        """An idle agent that goes on trying would count as busy, and never leave."""
        failed = Answer(failure=Failure(ErrorClass.PERMANENT, "not allowed"))
        for _ in range(node_report.TRIES):
            assert report.next_step(last=True)
            report.answered(failed)
        assert report.next_step(last=True) is None
        shell.put("news")
        assert not report.finished
        assert report.next_step(last=True)
        report.answered(failed)
        assert report.finished


def test_spools_on_one_node_have_reports_of_their_own() -> None:
    """Names differ by the path too, and can be objects' names whatever the host is called."""
    names = {node_report.node_name(str(Path("/spools") / one)) for one in "ab"}
    assert len(names) == 2
    assert not any("/" in name for name in names)
