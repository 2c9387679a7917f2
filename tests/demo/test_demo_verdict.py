"""The demo's verdict finds whatever is not as the diary promised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from destination.demo.diary import Diary, WitnessedLogger, digest
from destination.demo.verdict import judge
from destination.demo.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace where one checkpoint and its alias were logged and arrived."""
    workspace = Workspace(tmp_path)
    _arrive(workspace, "ckpt/ep1.npz", b"one")
    workspace.arrived("ckpt/latest").symlink_to("ep1.npz")
    _log(workspace, "ckpt/ep1.npz", digest(workspace.arrived("ckpt/ep1.npz")))
    _log(workspace, "ckpt/latest", "-> ckpt/ep1.npz")
    return workspace


def _arrive(workspace: Workspace, name: str, content: bytes) -> None:
    path = workspace.arrived(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _log(workspace: Workspace, name: str, content: str, *, returned: bool = True) -> None:
    for event in ("begun", "returned")[: 1 + returned]:
        Diary(workspace.diary).write(event, name=name, content=content)


def test_a_destination_that_holds_what_was_logged_is_good(workspace: Workspace) -> None:
    """Same bytes and the right target are a good verdict, with each artifact's size and calls."""
    verdict = judge(workspace)
    assert verdict.good
    facts = [(one.name, one.logged, one.link, one.size) for one in verdict.arrivals]
    assert facts == [("ckpt/ep1.npz", 1, False, 3), ("ckpt/latest", 1, True, 0)]


def test_a_missing_artifact_is_a_fault(workspace: Workspace) -> None:
    """An artifact whose log call returned and that is not there is told by name."""
    _log(workspace, "ckpt/ep2.npz", "0" * 64)
    assert judge(workspace).faults == ["ckpt/ep2.npz is missing"]


def test_other_bytes_are_a_fault(workspace: Workspace) -> None:
    """An artifact with other bytes than those logged last is told by name."""
    _arrive(workspace, "ckpt/ep1.npz", b"two")
    (fault,) = judge(workspace).faults
    assert fault.startswith("ckpt/ep1.npz is not what was logged")


def test_an_older_version_is_a_fault(workspace: Workspace) -> None:
    """Bytes of a version that a later returned call replaced are not good any more."""
    _log(workspace, "ckpt/ep1.npz", "f" * 64)
    assert not judge(workspace).good


def test_a_call_cut_off_by_a_kill_may_have_been_kept_or_not(workspace: Workspace) -> None:
    """Of a call that began and never returned, the version before it and its own are both right."""
    _log(workspace, "ckpt/ep1.npz", "f" * 64, returned=False)
    assert judge(workspace).good
    _log(workspace, "ckpt/ep9.npz", "f" * 64, returned=False)
    assert judge(workspace).good


def test_a_version_begun_before_one_that_returned_is_a_fault(workspace: Workspace) -> None:
    """A call that was cut off is over once a later call of the name returned."""
    old = digest(workspace.arrived("ckpt/ep1.npz"))
    _log(workspace, "ckpt/ep1.npz", old, returned=False)
    _log(workspace, "ckpt/ep1.npz", "f" * 64)
    assert not judge(workspace).good


def test_a_link_that_points_elsewhere_is_a_fault(workspace: Workspace) -> None:
    """An alias has to point to the artifact that was logged last."""
    _arrive(workspace, "ckpt/ep2.npz", b"one")
    _log(workspace, "ckpt/ep2.npz", digest(workspace.arrived("ckpt/ep2.npz")))
    workspace.arrived("ckpt/latest").unlink()
    workspace.arrived("ckpt/latest").symlink_to("ep2.npz")
    (fault,) = judge(workspace).faults
    assert fault == "ckpt/latest is not what was logged: -> ckpt/ep2.npz"


def test_a_dangling_link_is_a_fault(workspace: Workspace) -> None:
    """An alias of something that is not there is told as such."""
    workspace.arrived("ckpt/ep1.npz").unlink()
    assert "ckpt/latest points to nothing" in judge(workspace).faults


def test_a_stranger_at_the_destination_is_a_fault(workspace: Workspace) -> None:
    """A file that was never logged, such as a temporary one left behind, is told by name."""
    _arrive(workspace, "ckpt/.part", b"")
    assert judge(workspace).faults == ["digits/ckpt/.part was never logged"]


def test_an_orphan_in_the_spool_is_a_fault(workspace: Workspace) -> None:
    """A blob that is still in the drained spool is told by its path."""
    orphan = workspace.spool / "blobs" / "ab" / "abcd"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"")
    assert judge(workspace).faults == ["blobs/ab/abcd was left in the spool"]


def test_a_call_that_raises_is_begun_but_not_returned(tmp_path: Path) -> None:
    """What the spool refused is not promised by the diary."""
    diary = Diary(tmp_path / "diary.jsonl")
    logger = WitnessedLogger(diary, tmp_path.as_uri(), spool=tmp_path / "spool", agent="external")
    with pytest.raises(ValueError, match="symlink cannot point to itself"):
        logger.log_symlink_artifact(_State(), 1, "same", "same", True)  # type: ignore[arg-type]
    assert [entry["event"] for entry in diary.read()] == ["begun"]
    assert diary.promised() == {}


def test_the_diary_is_whole_lines_of_json(tmp_path: Path) -> None:
    """Each entry is on the disk as a line of its own when `write` returns."""
    diary = Diary(tmp_path / "diary.jsonl")
    diary.write("epoch", epoch=1)
    diary.write("begun", name="n", content="c")
    lines = diary.path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["epoch", "begun"]
    assert list(diary.read("epoch")) == [{"event": "epoch", "epoch": 1}]


class _State:
    run_name = "digits"
    timestamp = None
