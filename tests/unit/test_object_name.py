"""Hold how artifacts, symlinks and their targets are named at the destination."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from destination import Event, Logger, LogLevel, ObjectStoreLogger
from destination.integrations import RunState
from uploader import DestinationMismatchError, Spool

Train = Callable[..., Any]  #: the fixture that makes a training process


def test_one_mapping_holds_for_files_symlinks_targets_and_fetching(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Composer's symlinks pointed nowhere under any mapping but the plain one."""
    monkeypatch.setenv("RANK", "3")
    training = train(object_name="{run_name}/rank{rank}/{artifact_name}")
    training.log("/ep1.pt", "weights")
    training.link("/ep1.pt", "/latest")
    assert training.names() == ["run/rank3/ep1.pt", "run/rank3/latest"]
    assert training.drain() == 0
    assert (training.remote / "run/rank3/latest").read_text() == "weights"
    assert training.fetch("latest") == b"weights"
    assert training.fetch("/ep1.pt") == b"weights"


def test_a_symlink_file_artifact_is_a_symlink_whose_target_is_mapped(
    train: Train,
) -> None:
    """Composer from v0.8 on logs a file `latest.symlink` that holds the target's name."""
    training = train(object_name="{run_name}/{artifact_name}")
    training.log("ep1.pt", "weights")
    training.log("latest.symlink", "ep1.pt\n", overwrite=True)
    with Spool(training.spool_path) as spool:
        symlink = spool.uploads()[1]
    assert (symlink.name, symlink.target) == ("run/latest", "run/ep1.pt")
    assert training.drain() == 0
    assert training.fetch("latest") == b"weights"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"a/../b", id="way-out"),
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(b"a\0b", id="nul"),
        pytest.param(b"x" * 5000, id="long"),
        pytest.param(b"a" + b" " * 5000 + b"b", id="long-in-the-middle"),
    ],
)
def test_a_symlink_file_that_holds_no_name_is_a_value_error(train: Train, text: bytes) -> None:
    """At the call, and nothing is spooled."""
    training = train()
    training.event(Event.INIT)
    with pytest.raises(ValueError, match=r"name|symlink|path"):
        training.log("latest.symlink", text)
    assert training.names() == []


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
@pytest.mark.parametrize("name", ["a", "a.symlink"])
def test_a_file_that_cannot_be_read_is_an_os_error(
    train: Train, tmp_path: pathlib.Path, kind: str, name: str
) -> None:
    """At once, also for a FIFO that nobody writes to; and nothing is spooled."""
    path = tmp_path / "source"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    training = train()
    training.event(Event.INIT)
    expected = {"missing": FileNotFoundError, "folder": IsADirectoryError, "fifo": OSError}[kind]
    with pytest.raises(expected):
        training.logger.file_artifact(LogLevel.FIT, name, path)
    assert training.names() == []


@pytest.mark.parametrize("name", ["", "/", "a/../b", "a\0b", "a\nb", "x" * 1025])
def test_a_bad_name_is_a_value_error_and_nothing_is_spooled(train: Train, name: str) -> None:
    """For a file, and for both names of a symlink."""
    training = train(object_name="{run_name}/{artifact_name}")
    training.event(Event.INIT)
    for call, arguments in (
        (training.log, (name, "x")),
        (training.link, (name, "latest")),
        (training.link, ("a", name)),
    ):
        with pytest.raises(ValueError, match="artifact name"):
            call(*arguments)
    assert training.names() == []


def test_a_name_that_needs_the_run_is_a_runtime_error_before_it_is_known(
    train: Train,
) -> None:
    """B20: fetching and URIs have no state to learn it from; INIT or a log call tells it."""
    training = train(object_name="{run_name}/{artifact_name}")
    for use in (training.destination.get_uri_for_artifact, training.fetch):
        with pytest.raises(RuntimeError, match=r"\{run_name\} is not known yet"):
            use("a")
    training.event(Event.INIT)
    assert training.destination.get_uri_for_artifact("a").endswith("/remote/run/a")


def test_the_loggers_run_name_is_learnt_at_init(train: Train) -> None:
    """Up to Composer v0.7.1 the logger has it, and the state has none."""
    training = train(run_name=None, object_name="{run_name}/{artifact_name}")
    with pytest.raises(RuntimeError, match="run_name"):
        training.log("a", "x")
    training.logger = Logger(training.state, [training.destination], run_name="named")
    training.event(Event.INIT)
    training.log("a", "x")
    assert training.names() == ["named/a"]


def test_without_init_the_first_log_call_opens_the_spool(train: Train) -> None:
    """A loop without events logs just the same; the run's name comes from the state."""
    training = train(object_name="{run_name}/{artifact_name}")
    assert not training.spool_path.exists()
    training.log("a", "x")
    assert training.names() == ["run/a"]


def test_uploads_carry_run_and_rank(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each rank reports its own, and a person can tell them apart."""
    monkeypatch.setenv("RANK", "5")
    training = train()
    training.log("a", "x")
    training.link("a", "b")
    with Spool(training.spool_path) as spool:
        assert {(upload.run, upload.rank) for upload in spool.uploads()} == {("run", 5)}


def test_fetching_follows_symlinks_and_says_what_is_missing(
    train: Train,
) -> None:
    """B15: object, symlink, `.symlink` spelt out, symlink of a symlink, missing, in the way."""
    training = train()
    training.log("ep1.pt", "weights")
    training.link("ep1.pt", "latest")
    training.link("latest", "best")
    assert training.drain() == 0
    for name in ("ep1.pt", "latest", "latest.symlink", "best"):
        assert training.fetch(name) == b"weights"
    with pytest.raises(FileExistsError):
        training.fetch("ep1.pt", overwrite=False)
    with pytest.raises(FileNotFoundError, match="missing"):
        training.fetch("missing")


def test_the_default_spool_is_one_for_each_destination(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """UPLOADER_SPOOL, else below the user's state directory; spellings of a URL do not matter."""
    monkeypatch.delenv("UPLOADER_SPOOL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one, same, other = (
        ObjectStoreLogger(f"file:///mnt/{path}").spool_path for path in ("a", "a/", "b")
    )
    assert one == same != other
    assert one.parent == tmp_path / "state" / "uploader"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    home = ObjectStoreLogger("file:///mnt/a").spool_path
    assert home.parent == tmp_path / ".local" / "state" / "uploader"
    monkeypatch.setenv("UPLOADER_SPOOL", str(tmp_path / "named"))
    assert ObjectStoreLogger("file:///mnt/a").spool_path == tmp_path / "named"


def test_a_spool_of_another_destination_is_refused_at_init(
    train: Train, tmp_path: pathlib.Path
) -> None:
    """The message names both, before anything is logged."""
    train().event(Event.INIT)
    other = ObjectStoreLogger("file:///elsewhere", spool=tmp_path / "spool", agent="external")
    state = RunState("run")
    with pytest.raises(DestinationMismatchError, match=r"/remote.*file:///elsewhere"):
        other.run_event(Event.INIT, state, Logger(state))
