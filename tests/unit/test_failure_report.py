"""Hold how dead letters are reported to the run that logged them."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from destination import Event
from uploader import Spool

Train = Callable[..., Any]  #: the fixture that makes a training process
ENDS = [Event.BATCH_END, Event.EPOCH_END, Event.FIT_END]


@pytest.mark.parametrize("event", ENDS)
def test_a_dead_letter_is_one_warning_that_says_what_to_do(
    train: Train, event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Artifact, reason and the exact retry command; in the log as well; never twice."""
    training = train()
    training.event(Event.INIT)
    training.fail("a/b")
    with Spool(training.spool_path) as spool:
        [dead] = spool.dead_letters()
    assert dead.error
    command = f"uploader retry --spool {shlex.quote(str(training.spool_path))} {dead.id}"
    with pytest.warns(RuntimeWarning) as caught:
        training.event(event)
    assert len(caught) == 1
    for text in (str(caught[0].message), caplog.text):
        assert "artifact 'a/b'" in text
        assert dead.error in text
        assert command in text
    training.event(event)  # another warning would be an error here


def test_for_a_damaged_spool_file_no_retry_is_advised(train: Train) -> None:
    """Its bytes are gone: to try them again would be of no use."""
    training = train()
    training.log("a", "x" * 1000)
    with Spool(training.spool_path) as spool:
        [upload] = spool.uploads()
        [blob] = (training.spool_path / "blobs").rglob(upload.id)
    blob.chmod(0o600)
    blob.write_text("y" * 1000)
    assert training.drain() == 3
    with pytest.warns(RuntimeWarning, match=r"'a' was not uploaded.*damaged") as caught:
        training.event(Event.BATCH_END)
    assert "retry" not in str(caught[0].message)


def test_an_upload_that_dies_again_is_told_again(train: Train) -> None:
    """A retry that failed as well is news."""
    training = train()
    training.event(Event.INIT)
    training.fail("a/b")
    with pytest.warns(RuntimeWarning, match="a/b"):
        training.event(Event.BATCH_END)
    with Spool(training.spool_path) as spool:
        spool.retry(all=True)
    assert training.drain() == 3
    with pytest.warns(RuntimeWarning, match="a/b"):
        training.event(Event.BATCH_END)


def test_several_deaths_are_raised_together(train: Train) -> None:
    """No second failure is hidden behind the first."""
    training = train(on_upload_failure="raise")
    training.fail("a/b", "a/c")
    with pytest.raises(RuntimeError, match=r"(?s)'a/b'.*'a/c'"):
        training.event(Event.FIT_END)


def test_a_failure_of_an_earlier_process_is_a_warning_also_where_failures_raise(
    train: Train,
) -> None:
    """Else a run that restarts would be ended by it at its first batch, for ever."""
    earlier = train()
    earlier.fail("a/b")
    later = train(on_upload_failure="raise")
    with pytest.warns(RuntimeWarning, match="'a/b' was not uploaded"):
        later.event(Event.INIT)
    later.event(Event.BATCH_END)
    later.fail("a/c")
    with pytest.raises(RuntimeError, match=r"^artifact 'a/c'[^\n]*$"):
        later.event(Event.BATCH_END)


def test_a_rank_reports_its_own_failures_only(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of another rank, nor of another run on the same spool."""
    training = train(on_upload_failure="raise")
    training.event(Event.INIT)
    monkeypatch.setenv("RANK", "1")
    other_rank = train()
    other_rank.fail("a/b")
    monkeypatch.delenv("RANK")
    other_run = train(run_name="other")
    other_run.fail("a/c")
    training.event(Event.FIT_END)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.close()


def test_an_event_costs_no_query_where_nothing_changed(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead letters are read only after another process committed."""
    training = train()
    training.event(Event.INIT)
    queries: list[int] = []
    real = Spool.dead_letters

    def counted(spool: Spool, **owner: Any) -> Any:
        queries.append(1)
        return real(spool, **owner)

    monkeypatch.setattr(Spool, "dead_letters", counted)
    for _ in range(100):
        training.event(Event.BATCH_END)
    assert queries == []
    with Spool(training.spool_path) as other:
        other.remembered.put("from", "another connection")
    training.event(Event.BATCH_END)
    assert queries == [1]
