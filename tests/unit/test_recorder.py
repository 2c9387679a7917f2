"""Holds the wait before the next attempt to what came of the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.uploads import make_upload
from uploader import Spool
from uploader.config import Options
from uploader.drain.active import ActiveUpload
from uploader.drain.recorder import Recorder
from uploader.drain.steps import Answer, Failure, PutPart, Step
from uploader.errors import ErrorClass
from uploader.model import Part, SentPart
from uploader.policy import RetryPolicy
from uploader.store.body import Body
from uploader.store.limits import S3

FAILED_BEFORE = 7


@pytest.mark.parametrize(("arrives", "in_a_row"), [(True, 1), (False, FAILED_BEFORE + 1)])
def test_a_part_that_arrived_ends_the_row_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrives: bool, in_a_row: int
) -> None:
    """A worker that dies now and then, within a large file, costs its step and no long wait."""
    told: list[int] = []

    def delay(policy: RetryPolicy, error_class: ErrorClass, attempts: int) -> float:
        told.append(attempts)
        return 0.0

    monkeypatch.setattr(RetryPolicy, "delay", delay)
    upload = make_upload(attempts=FAILED_BEFORE, session="session", part_size=5 << 20)
    active = ActiveUpload(upload, {}, "", S3, Options())
    step: Step = PutPart("name", "session", Part(1, 0, 10), Body.of_bytes(b"0123456789"))
    active.in_flight = 1 + arrives
    if arrives:
        active.answered(step, Answer(SentPart(1, 10, "mark")))
    active.answered(step, Answer(failure=Failure(ErrorClass.TRANSIENT, "the worker died")))
    with Spool(tmp_path / "spool", f"file://{tmp_path}/remote") as spool:
        Recorder(spool, RetryPolicy()).settle(active)
    assert told == [in_a_row]
