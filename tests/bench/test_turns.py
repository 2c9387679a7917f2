"""Show that one peer's failure neither ends a run nor passes unmentioned."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench import gcs, peers, s3, uploads
from tests.bench.environments import Environment
from tests.bench.measure import Peer, take_turns
from tests.bench.metering import CommandFailedError, Cost
from tests.bench.peers import Job, Tool

WELL = Cost(1.0, 1.0, 0)


def _failing() -> Cost:
    msg = "ended with 1: x\nno such bucket"
    raise CommandFailedError(msg)


def test_a_peer_that_fails_is_absent_with_its_reason() -> None:
    """It has no figures, not even those of the rounds before; the others have all of theirs."""
    left = iter([WELL, WELL])

    def at_last() -> Cost:
        return next(left, None) or _failing()

    absent: dict[str, str] = {}
    turns = [Peer("ours", lambda: WELL), Peer("weak", at_last), Peer("strong", lambda: WELL)]
    series = take_turns("case", turns, 3, None, absent)
    assert [(one.name, len(one.seconds)) for one in series] == [("ours", 3), ("strong", 3)]
    assert absent == {"weak, case": "ended with 1: x no such bucket"}


def test_a_failure_of_ours_ends_the_run() -> None:
    """Without it there is nothing to compare."""
    with pytest.raises(CommandFailedError):
        take_turns("case", [Peer("ours", _failing), Peer("other", lambda: WELL)], 1, None, {})


def test_what_pip_cannot_install_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that share its environment with it; the others are there."""
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    broken = Environment("broken", (str(tmp_path / "nothing"),))
    monkeypatch.setattr(subprocess, "run", _without_pip)

    def command(job: Job) -> list[str]:
        return [job.bucket]

    given = [Tool("one", "", command, broken), Tool("two", "", command)]
    there, absent = peers.install(given)
    assert [tool.name for tool in there] == ["two"]
    assert absent == {"one": f"pip could not install {tmp_path / 'nothing'}"}


@pytest.mark.slow
def test_only_what_arrived_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From end to end: ours and boto3 upload, and one that does nothing is found out."""
    boto3 = next(tool for tool in peers.TOOLS if tool.name == "boto3-4-processes")
    idle = Tool("idle", "", lambda job: ["/bin/echo", "uploaded", str(job.folder)])
    monkeypatch.setattr(peers, "TOOLS", [boto3, idle])
    chosen = uploads.Chosen(["sink"], [(3, 1000)], ["boto3-4-processes", "idle"], 1, workers=1)
    result = s3.run(tmp_path, chosen)
    assert [one.name for one in result.series] == ["uploader", "boto3-4-processes"]
    assert all(one.rates["files_per_second"] > 0 for one in result.series)
    (why,) = result.absent.values()
    assert why.startswith("0 objects of 0 bytes arrived, after: /bin/echo")


@pytest.mark.slow
def test_google_cloud_storage_is_measured_beside_its_library(tmp_path: Path) -> None:
    """From end to end: several files, and one, for which there is another way."""
    ways = ["many-4-threads", "chunks-4-processes"]
    chosen = uploads.Chosen(["sink"], [(3, 1000), (1, 40 << 20)], ways, 1, workers=1)
    result = gcs.run(tmp_path, chosen)
    assert [(one.name, one.rates["files_per_second"] > 0) for one in result.series] == [
        ("uploader", True),
        ("many-4-threads", True),
        ("uploader", True),
        ("chunks-4-processes", True),
    ]
    assert result.absent == {}


def _without_pip(command: list[str], **_: object) -> None:
    """Make no environment: that takes seconds, and a pip that fails is what is tried."""
    program = Path(command[-1]) / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/false")
