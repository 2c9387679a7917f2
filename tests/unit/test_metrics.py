"""What is counted, what is read off the spool, and how seldom."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from tests.clock import Clock
from tests.place import Place
from tests.uploads import make_upload
from uploader import Spool
from uploader.drain.observer import AttemptEnd, Load
from uploader.drain.steps import Answer, Failure, Prepare, PutPart, TakeChecksum
from uploader.errors import ErrorClass
from uploader.model import Part
from uploader.observe.metrics import LOOK, OPENMETRICS, Metrics, printable, step_name
from uploader.spool.ownership import SupervisorLock
from uploader.state import State
from uploader.store.body import Body

STEP = PutPart("name", "session", Part(1, 0, 10), Body.of_bytes(b"0123456789"))


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    """A spool with a local destination."""
    place = Place(tmp_path)
    yield place
    place.spool.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spool]:
    """A spool for all that do not care what is in it."""
    folder = tmp_path_factory.mktemp("empty")
    with Spool(folder / "spool", folder.as_uri(), producer=False) as spool:
        yield spool


def told(metrics: Metrics) -> dict[str, float]:
    """Return what is told, as `name value-of-the-other-label` to value."""
    families = plain_families(metrics.text()[0].decode())
    samples = [sample for family in families for sample in family.samples]
    return {
        " ".join([one.name, *(v for k, v in one.labels.items() if k != "spool")]): one.value
        for one in samples
    }


def test_what_the_spool_holds_is_told_by_state(place: Place, time: Clock) -> None:
    """Uploads and bytes: what waits, what is dead, and what ended over the spool's life."""
    metrics = Metrics(place.spool, "run")
    place.arrive(place.put("one", "123"))
    waits = place.put("two", "1")
    place.die(place.put("three", "12"), ErrorClass.PERMANENT)
    place.put("four", "x")
    place.put("four", "y", overwrite=True)
    figures = told(metrics)
    assert [figures[f"uploader_spool_uploads {one}"] for one in ("ready", "active", "dead")] == [
        2, 0, 1,
    ]  # fmt: skip
    assert figures["uploader_spool_bytes ready"] == 2
    assert figures["uploader_spool_bytes dead"] == 2
    assert figures["uploader_uploads_total done"] == 1
    assert figures["uploader_uploads_total superseded"] == 1
    assert figures["uploader_uploaded_bytes_total"] == 3
    logged = place.spool.upload(waits).enqueued_at
    assert figures["uploader_oldest_ready_timestamp_seconds"] == pytest.approx(logged)


def test_steps_and_attempts_are_counted(empty: Spool, time: Clock) -> None:
    """Bytes of steps that went well, errors by class, attempts by result, and their times."""
    metrics = Metrics(empty, "run")
    for seconds in (0.2, 0.3):
        metrics.step_ended(STEP, Answer("mark", seconds=seconds))
    throttled = Failure(ErrorClass.THROTTLED, "slow down")
    metrics.step_ended(STEP, Answer(failure=throttled, seconds=4))
    metrics.step_ended(STEP, Answer(failure=Failure(ErrorClass.TRANSIENT, "the worker died")))
    metrics.step_ended(TakeChecksum("blob", 1000), Answer(seconds=0.1))  # a clone: nothing is sent
    upload = make_upload(enqueued_at=100.0)
    metrics.attempt_ended(AttemptEnd(upload, State.READY, ErrorClass.THROTTLED, 101.0))
    metrics.attempt_ended(AttemptEnd(upload, State.DONE, None, 102.0))
    metrics.attempt_ended(AttemptEnd(upload, State.DONE, None, 99.0))  # the clock was set back
    figures = told(metrics)
    assert figures["uploader_sent_bytes_total"] == 20
    assert figures["uploader_errors_total throttled"] == 1
    assert figures["uploader_errors_total transient"] == 1
    assert figures["uploader_errors_total damaged"] == 0  # there before the first: rates are right
    assert figures["uploader_attempts_total done"] == 2
    assert figures["uploader_attempts_total retried"] == 1
    assert figures["uploader_attempts_total dead"] == 0
    assert figures["uploader_upload_latency_seconds_count"] == 2
    assert figures["uploader_upload_latency_seconds_sum"] == 2
    assert figures["uploader_step_duration_seconds_count put_part"] == 3
    assert figures["uploader_step_duration_seconds_sum put_part"] == pytest.approx(4.5)
    assert figures["uploader_last_success_timestamp_seconds"] == 99


def test_every_state_that_an_attempt_comes_to_has_a_result(empty: Spool) -> None:
    """A state that was forgotten would raise in the supervisor's loop."""
    metrics = Metrics(empty, "run")
    for state in (State.DONE, State.READY, State.DEAD, State.CANCELLED):
        metrics.attempt_ended(AttemptEnd(make_upload(), state, None, 1.0))


def test_a_restart_goes_on_with_what_the_ledger_counts(place: Place) -> None:
    """Uploads and their bytes are over the spool's life; attempts are the process's own."""
    place.arrive(place.put("one", "123"))
    figures = told(Metrics(place.spool, "run"))
    assert figures["uploader_uploads_total done"] == 1
    assert figures["uploader_uploaded_bytes_total"] == 3
    assert figures["uploader_attempts_total done"] == 0
    arrived = place.spool.ledger.select("WHERE state = 'done'")[0].finished_at
    assert figures["uploader_last_success_timestamp_seconds"] == arrived


def test_a_look_is_taken_once_a_second_and_only_when_asked(
    empty: Spool, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the loop turns, and however often it is scraped."""
    looks: list[int] = []
    tally = empty.ledger.tally

    def counted() -> dict[State, tuple[int, int]]:
        looks.append(1)
        return tally()

    monkeypatch.setattr(empty.ledger, "tally", counted)
    metrics = Metrics(empty, "run")
    for _ in range(1000):
        metrics.tick(Load(1, 4, 4))
    assert not looks
    for _ in range(100):
        metrics.text()
        time.now += LOOK / 50
    assert len(looks) == 2


def test_a_look_reads_no_more_rows_when_there_are_more(place: Place, time: Clock) -> None:
    """Counts and ends of indexes: SQLite takes as many steps for 10 rows as for 1,000."""
    steps = []
    for count in (10, 990):
        with place.spool.ledger.together():
            for number in range(count):
                place.link("target", f"{count}/{number}")
        metrics = Metrics(place.spool, "run")
        taken: list[int] = []
        connection = place.spool.ledger._journal.connection
        connection.set_progress_handler(lambda: taken.append(1), 10)  # noqa: B023
        metrics.text()
        connection.set_progress_handler(None, 0)
        steps.append(len(taken))
    assert steps[1] <= steps[0] + 5


def test_a_look_does_not_swallow_a_change_that_the_schedule_must_see(place: Place) -> None:
    """`Spool.changed()` tells each change once, and the supervisor asks the same spool."""
    metrics = Metrics(place.spool, "run")
    place.spool.changed()
    other = Place(place.folder)
    other.put("one", "1")
    other.spool.close()
    assert told(metrics)["uploader_spool_uploads ready"] == 1
    assert place.spool.changed()


def test_room_is_what_limit_and_disk_leave(tmp_path: pathlib.Path, time: Clock) -> None:
    """The lesser of the two; limits that change meanwhile count at once."""
    with Spool(tmp_path / "spool", tmp_path.as_uri(), max_bytes=1000) as spool:
        source = tmp_path / "source"
        source.write_bytes(b"x" * 400)
        spool.put_file("one", source)
        metrics = Metrics(spool, "run")
        figures = told(metrics)
        assert figures["uploader_spool_room_bytes"] == 600
        assert figures["uploader_spool_limit_bytes"] == 1000
        assert figures["uploader_spool_disk_free_bytes"] > 1000
        Spool(tmp_path / "spool", max_bytes=300).close()
        time.now += LOOK
        assert told(metrics)["uploader_spool_room_bytes"] == 0


def test_a_spool_without_limit_has_the_room_of_its_disk(empty: Spool) -> None:
    """But for what is kept free; no limit is told."""
    figures = told(Metrics(empty, "run"))
    kept = empty.capacity.min_free_bytes
    free = figures["uploader_spool_disk_free_bytes"]
    assert figures["uploader_spool_room_bytes"] == pytest.approx(free - kept)
    assert "uploader_spool_limit_bytes" not in figures
    assert "uploader_oldest_ready_timestamp_seconds" not in figures


def test_a_refusal_and_the_pace_are_told(place: Place, time: Clock) -> None:
    """As the supervisor writes them down for whoever watches."""
    lock = SupervisorLock(place.spool.layout)
    metrics = Metrics(place.spool, "run")
    assert told(metrics)["uploader_destination_refused"] == 0
    assert lock.try_acquire(4)
    lock.report(1234.5, "403 Forbidden")
    time.now += LOOK
    figures = told(metrics)
    assert figures["uploader_destination_refused"] == 1
    assert figures["uploader_throughput_bytes_per_second"] == 1234.5
    lock.release()


def test_how_busy_it_is_is_told_only_of_this_process(empty: Spool, time: Clock) -> None:
    """A drain that waits for an agent has no workers; throttling is fewer steps than workers."""
    metrics = Metrics(empty, "drain")
    metrics.tick(None)
    assert "uploader_workers" not in told(metrics)
    metrics.tick(Load(steps=1, limit=2, workers=4))
    time.now += LOOK
    figures = told(metrics)
    assert figures["uploader_steps_in_flight"] == 1
    assert figures["uploader_steps_limit"] == 2
    assert figures["uploader_workers"] == 4


def test_the_end_is_told_once_it_has_come(empty: Spool) -> None:
    """Exit code and time, in what stays behind; nothing is in flight then."""
    metrics = Metrics(empty, "drain")
    metrics.tick(Load(1, 4, 4))
    assert "uploader_exit_code" not in told(metrics)
    metrics.ended(4)
    figures = told(metrics)
    assert figures["uploader_exit_code"] == 4
    assert figures["uploader_end_time_seconds"] >= figures["uploader_start_time_seconds"]
    assert figures["uploader_steps_in_flight"] == 0


def test_both_forms_are_parsed_by_the_library_of_their_reader(empty: Spool) -> None:
    """The classic text, and OpenMetrics for a scraper whose Accept header names it."""
    metrics = Metrics(empty, "run")
    metrics.step_ended(STEP, Answer("mark", seconds=1))
    plain, kind = metrics.text("text/plain;version=0.0.4")
    opened, open_kind = metrics.text(f"{OPENMETRICS};version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("text/plain; version=0.0.4")
    assert open_kind.startswith(f"{OPENMETRICS}; version=1.0.0")
    names = {family.name for family in open_families(opened.decode())}  # type: ignore[no-untyped-call]
    assert names == {
        family.name.removesuffix("_total") for family in plain_families(plain.decode())
    }
    assert len(names) >= 15


def test_a_path_that_is_no_utf8_and_a_password_are_no_trouble(tmp_path: pathlib.Path) -> None:
    """A label is UTF-8; a URL's password is nobody's business."""
    folder = tmp_path / 'od\udcffd "name"\n'
    with Spool(folder, tmp_path.as_uri()) as spool:
        metrics = Metrics(spool, "run")
        text = metrics.text()[0].decode()
    labels = next(iter(plain_families(text))).samples[0].labels
    assert labels["spool"] == printable(str(folder))
    assert "\\udcff" in labels["spool"]


def test_a_step_is_named_by_what_it_does() -> None:
    """As the classes in `drain/steps.py` are."""
    assert (step_name(STEP), step_name(Prepare(first=True))) == ("put_part", "prepare")
