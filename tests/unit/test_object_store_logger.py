"""Hold what a training run sees of the ObjectStoreLogger, with a real spool and real uploads.

Twenty behaviours that Composer's own tests assert, and where each is held here:

| #   | behaviour                                   | test |
|-----|---------------------------------------------|------|
| B1  | one file arrives; its URI; it is fetched    | `an_artifact_arrives_and_is_fetched_back[1]` |
| B2  | the same with more processes                | `an_artifact_arrives_and_is_fetched_back[4]`; uploads are always processes here |
| B3  | create-only, name pending: refused at once  | `create_only_refuses_a_name_that_is_pending` |
| B4  | create-only, name taken: event, warning     | `create_only_reports_a_name_that_is_taken[batch_end, epoch_end, fit_end]` |
| B5  | a filter leaves files and symlinks out      | `what_the_filter_refuses_is_not_spooled` |
| B6  | a symlink is a `.symlink` object            | `a_pointer_symlink_holds_the_full_name_of_its_target`: the text is the target's *object* name, so that it leads somewhere under any mapping (DESIGN 6) |
| B7  | of rapid overwrites the last one stays      | `of_rapid_overwrites_the_last_one_stays` |
| B8  | a store that always fails never hangs a run | `a_store_that_always_fails_neither_hangs_nor_ends_the_close` |
| B9  | a retry does not take its own for another's | `an_agent_killed_in_mid_upload_is_replaced_and_knows_its_own_object`; the store's side in tests/conformance |
| B10 | the store's own message surfaces            | asserted in B4 and B8 |
| B11 | an unknown store is a ValueError            | `a_bad_argument_is_a_value_error` |
| B12 | several files over several processes        | `several_ranks_share_one_spool` |
| B13 | overwrite wins, create-only fails           | `of_rapid_overwrites_the_last_one_stays`, B4 |
| B14 | checks raise; closing twice is harmless     | B4, `closing_twice_is_harmless` |
| B15 | fetching: object, symlink, missing, exists  | `fetching_follows_symlinks_and_says_what_is_missing`; a local path or an HTTP URL is no artifact name |
| B16 | the contract of a store                     | tests/conformance |
| B17 | the retry policy                            | tests of `uploader.policy`: no decorator of ours, tenacity states it |
| B18 | placeholders                                | test_artifact_name.py; a missing variable is a single process, not a KeyError |
| B19 | FileLogger                                  | test_file_logger.py |
| B20 | double INIT, bad counts, name before INIT   | `a_second_init_is_a_runtime_error`, `a_bad_argument_is_a_value_error`, `a_name_that_needs_the_run_is_a_runtime_error_before_it_is_known`; otherwise use before INIT is allowed (DESIGN 8) |
"""  # noqa: E501 - a table

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from destination import Event, LogLevel, ObjectStoreLogger
from uploader import Spool, State, agent_owner

Train = Callable[..., Any]  #: the fixture that makes a training process
ENDS = [Event.BATCH_END, Event.EPOCH_END, Event.FIT_END]
MIB = 1 << 20


@pytest.mark.parametrize("workers", [1, 4])
def test_an_artifact_arrives_and_is_fetched_back(
    train: Train, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """B1, B2: by an agent that the logger starts; and where all arrived, nothing is said."""
    training = train(agent="auto", num_concurrent_uploads=workers, close_timeout=30)
    training.event(Event.INIT)
    training.log("ckpt/ep1.pt", "weights", overwrite=True)
    uri = training.destination.get_uri_for_artifact("ckpt/ep1.pt")
    assert uri == (training.remote / "ckpt/ep1.pt").as_uri()
    assert training.fetch("ckpt/ep1.pt") == b"weights"  # the spool's own copy, or the object
    owner = agent_owner(training.spool_path)
    assert owner is None or owner.workers == workers  # None: it is starting
    training.close()
    assert (training.remote / "ckpt/ep1.pt").read_bytes() == b"weights"
    assert capsys.readouterr() == ("", "")
    later = train()
    assert later.fetch("ckpt/ep1.pt") == b"weights"


def test_create_only_refuses_a_name_that_is_pending(train: Train) -> None:
    """B3: FileExistsError from the log call itself, and the first version is what arrives."""
    training = train()
    training.log("a", "first")
    with pytest.raises(FileExistsError, match="already enqueued and overwrite=False"):
        training.log("a", "second")
    assert training.drain() == 0
    assert (training.remote / "a").read_text() == "first"


@pytest.mark.parametrize("event", ENDS)
def test_create_only_reports_a_name_that_is_taken(train: Train, event: Event) -> None:
    """B4, B10: the next of these events raises the store's message; the object stays."""
    training = train(on_upload_failure="raise")
    training.log("a", "first")
    assert training.drain() == 0
    training.log("a", "second")
    assert training.drain() == 3
    with pytest.raises(RuntimeError, match=r"artifact 'a' was not uploaded.*already exists"):
        training.event(event)
    training.event(event)  # told once
    with pytest.warns(RuntimeWarning, match="1 artifact failed: a: .*already exists"):
        training.close()
    assert (training.remote / "a").read_text() == "first"


def test_what_the_filter_refuses_is_not_spooled(train: Train) -> None:
    """B5: it is asked with state, level and name; for a symlink with the existing name."""
    asked: list[tuple[Any, ...]] = []

    def refuse(*question: Any) -> bool:
        asked.append(question)
        return False

    training = train(should_log_artifact=refuse)
    training.event(Event.INIT)
    training.log("a", "x")
    training.link("a", "latest")
    assert asked == [(training.state, LogLevel.EPOCH, "a")] * 2
    assert training.names() == []


def test_what_the_filter_allows_is_spooled(train: Train) -> None:
    """By level and name."""
    training = train(should_log_artifact=lambda _state, level, name: level < 3 and name == "a")
    training.log("a", "x")
    training.log("b", "x")
    training.link("a", "latest")
    assert training.names() == ["a", "latest"]


def test_a_pointer_symlink_holds_the_full_name_of_its_target(
    train: Train,
) -> None:
    """B6: as Composer reads it; the symlink's URI is that of its plain name."""
    training = train(object_name="{run_name}/{artifact_name}", options={"symlink_mode": "pointer"})
    training.log("ep1.pt", "weights")
    training.link("ep1.pt", "latest")
    assert training.drain() == 0
    assert (training.remote / "run/latest.symlink").read_text() == "run/ep1.pt"
    uri = training.destination.get_uri_for_artifact("latest")
    assert uri == (training.remote / "run/latest").as_uri()


def test_of_rapid_overwrites_the_last_one_stays(train: Train) -> None:
    """B7, B13: ten versions while an agent with four workers uploads them."""
    training = train(agent="auto", num_concurrent_uploads=4, close_timeout=30)
    for version in range(10):
        training.log("latest", f"version {version}" * 1000, overwrite=True)
    training.close()
    assert (training.remote / "latest").read_text() == "version 9" * 1000


def test_a_store_that_always_fails_neither_hangs_nor_ends_the_close(
    train: Train,
) -> None:
    """B8, B10: the event raises, logging goes on, closing warns of every object and returns."""
    training = train(on_upload_failure="raise")
    training.fail("a/b")
    with pytest.raises(RuntimeError, match="'a/b' was not uploaded to file://"):
        training.event(Event.EPOCH_END)
    training.log("c", "x")
    began = time.monotonic()
    with pytest.warns(RuntimeWarning, match=r"not uploaded .* yet: c\..*1 artifact failed: a/b: "):
        training.close()
    assert time.monotonic() - began < 20


def test_an_agent_killed_in_mid_upload_is_replaced_and_knows_its_own_object(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: create-only after a SIGKILL is no conflict; the logger starts the next agent itself."""
    monkeypatch.setattr("destination.agent_keeper.LOOK_INTERVAL", 0.0)
    slow = {"max_bandwidth": 8 * MIB}  # or it might all be over before we get to the kill
    training = train(agent="auto", close_timeout=50, options=slow)
    content = os.urandom(MIB) * 24
    training.log("big", content)
    with Spool(training.spool_path, producer=False) as spool:
        training.wait_until(lambda: spool.uploads(state=State.ACTIVE))
        training.end_agent(by=signal.SIGKILL)
        assert spool.pending(), "the upload was over before the kill"
    training.event(Event.BATCH_END)
    training.close()
    assert (training.remote / "big").read_bytes() == content


RANK_PROGRAM = """
import os, pathlib, sys
from destination import Event, Logger, LogLevel, ObjectStoreLogger
from destination.integrations import RunState
remote, spool, source = sys.argv[1:]
pathlib.Path(source).write_text(os.environ["RANK"])
state = RunState("run")
store = ObjectStoreLogger(remote, spool=spool, close_timeout=30,
                          object_name="{run_name}/{rank}/{artifact_name}")
logger = Logger(state, [store])
store.run_event(Event.INIT, state, logger)
for n in range(5):
    logger.file_artifact("epoch", f"ep{n}", source)
store.close(state, logger)
store.post_close()
"""


def test_several_ranks_share_one_spool(train: Train) -> None:
    """B12: each process has its own logger, one of them starts the agent, all files arrive."""
    training = train()
    ranks = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                RANK_PROGRAM,
                training.remote.as_uri(),
                str(training.spool_path),
                str(training.folder / f"source{rank}"),
            ],
            env={**os.environ, "RANK": str(rank)},
        )
        for rank in range(4)
    ]
    assert [rank.wait(timeout=50) for rank in ranks] == [0, 0, 0, 0]
    for rank in range(4):
        for n in range(5):
            assert (training.remote / f"run/{rank}/ep{n}").read_text() == str(rank)


FORK_PROGRAM = """
import os, pathlib, sys
from destination import Logger, ObjectStoreLogger
from destination.integrations import RunState
remote, spool, source = sys.argv[1:]
pathlib.Path(source).write_text("x")
store = ObjectStoreLogger(remote, spool=spool, agent="external", object_name="{artifact_name}")
logger = Logger(RunState("run"), [store])
logger.file_artifact("epoch", "before", source)
child = os.fork()
for n in range(20):
    logger.file_artifact("epoch", f"{'parent' if child else 'child'}{n}", source)
if child:
    assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""


def test_a_forked_process_logs_on_its_own(train: Train) -> None:
    """Parent and child log at the same time through what was one logger; no artifact is lost."""
    training = train()
    program = [sys.executable, "-c", FORK_PROGRAM, training.remote.as_uri()]
    arguments = [str(training.spool_path), str(training.folder / "source")]
    subprocess.run([*program, *arguments], check=True, timeout=50)
    expected = {"before"} | {f"{who}{n}" for who in ("parent", "child") for n in range(20)}
    assert set(training.names()) == expected


def test_a_second_init_is_a_runtime_error(train: Train) -> None:
    """B20."""
    training = train()
    training.event(Event.INIT)
    with pytest.raises(RuntimeError, match="already initialised"):
        training.event(Event.INIT)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_concurrent_uploads": 0}, "num_concurrent_uploads must be at least 1, not 0"),
        ({"agent": "none"}, 'agent must be "auto" or "external", not \'none\''),
        ({"on_upload_failure": "die"}, 'on_upload_failure must be "warn" or "raise"'),
        ({"when_full": "drop"}, 'when_full must be "raise" or "block"'),
        ({"close_timeout": -1}, "close_timeout must be 0 or more"),
        ({"object_name": "{artefact_name}"}, r"\{artefact_name\} is not a placeholder"),
        ({"object_name": "{epoch}/{artifact_name}"}, r"\{epoch\} is not a placeholder"),
        ({"object_name": "{run_name}"}, r"must contain \{artifact_name\}"),
        ({"destination": "ftp://host/x"}, "unknown destination 'ftp://host/x'"),
        ({"destination": ""}, "destination is empty"),
    ],
)
def test_a_bad_argument_is_a_value_error(
    tmp_path: pathlib.Path, options: dict[str, Any], told: str
) -> None:
    """B11, B20: at construction, before there is a spool."""
    with pytest.raises(ValueError, match=told):
        ObjectStoreLogger(**{"destination": "file:///x", "spool": tmp_path / "spool", **options})
    assert not (tmp_path / "spool").exists()


def test_file_artifacts_are_kept() -> None:
    """So that a Logger knows there is a place for them."""
    assert ObjectStoreLogger("file:///x", spool="/x").can_log_file_artifacts()


def test_the_spools_limits_and_options_are_passed_on(train: Train) -> None:
    """`max_bytes` and `options` are the spool's, and it remembers them."""
    training = train(max_bytes=10 * MIB, options={"symlink_mode": "copy"})
    training.log("a", "x")
    with pytest.raises(OSError, match=r"full|room|max_bytes"):
        training.log("big", b"x" * 11 * MIB)
    with Spool(training.spool_path) as spool:
        assert spool.options.symlink_mode == "copy"
        assert [upload.state for upload in spool.uploads()] == [State.READY]


@pytest.mark.parametrize(
    ("url", "in_query"),
    [
        ("s3://b/runs?region=x", {"region": "x"}),
        ("gs://b/runs?user-project=p", {"user_project": "p"}),
    ],
)
def test_a_bucket_needs_nothing_of_its_service_to_be_logged_to(
    train: Train, tmp_path: pathlib.Path, url: str, in_query: dict[str, str]
) -> None:
    """Options stand in the URL or beside it; credentials are the agent's business."""
    training = train()
    training.destination = ObjectStoreLogger(
        url, spool=tmp_path / "spool", agent="external", options={"storage_class": "NEARLINE"}
    )
    training.event(Event.INIT)
    uri = training.destination.get_uri_for_artifact("ckpt/ep1.pt")
    assert uri == url.partition("?")[0] + "/run/ckpt/ep1.pt"
    with Spool(training.spool_path, producer=False) as spool:
        assert spool.options.as_json() == in_query | {"storage_class": "NEARLINE"}
