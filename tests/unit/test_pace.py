"""Hold the arithmetic of the limit on bytes per second, by a clock that only the test moves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from uploader.checksum import crc32c
from uploader.drain import steps
from uploader.drain.steps import TakeChecksum, time_limit
from uploader.errors import DamagedError
from uploader.model import Part, PutMode, SymlinkMode
from uploader.policy import TRIES_IN_STEP
from uploader.store import pace as pace_module
from uploader.store.base import ObjectMeta
from uploader.store.body import Body
from uploader.store.local import LocalStore
from uploader.store.pace import MOST, Pace
from uploader.store.paced import PacedBody, with_pace
from uploader.store.s3.reader import BodyReader, md5_of

RATE = 1000  #: bytes per second; portions are then of 50 bytes
CONTENT = bytes(range(256)) * 2  #: ten portions, and 12 bytes
SECONDS = 0.5  #: from its first portion's start to its last one's


class Clock:
    """Time that passes in sleep only."""

    def __init__(self) -> None:
        """Begin at a time that is no boundary."""
        self.began = self.time = 1234.5

    def now(self) -> float:
        """Return the time."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds > 0
        self.time += seconds

    @property
    def passed(self) -> float:
        """Seconds since the beginning, without the noise of adding floats."""
        return round(self.time - self.began, 6)


@pytest.fixture
def clock() -> Clock:
    """Return the test's own time."""
    return Clock()


@pytest.fixture
def memory() -> Iterator[int]:
    """Return what the paces of a test share."""
    memory = pace_module.new_memory()
    yield memory
    os.close(memory)


@pytest.fixture
def pace(memory: int, clock: Clock) -> Pace:
    """Return a pace of a thousand bytes per second."""
    return Pace(RATE, memory, now=clock.now, sleep=clock.sleep)


@pytest.fixture
def body(tmp_path: Path) -> Body:
    """Return a spooled file."""
    blob = tmp_path / "blob"
    blob.write_bytes(CONTENT)
    return Body(str(blob), 0, len(CONTENT), crc32c(CONTENT))


def meta_of(content: bytes) -> ObjectMeta:
    """Return what is written beside a file's bytes."""
    return ObjectMeta("a" * 32, len(content), crc32c(content), None, "run", 0)


# -- the clock that is shared ----------------------------------------------------------------------


def test_one_that_is_alone_has_the_whole_rate(pace: Pace, clock: Clock) -> None:
    """The first goes at once, and each after it when the one before is through: no later."""
    for _ in range(10):
        pace.take(100)
    assert clock.passed == 0.9


def test_the_time_that_sending_took_is_not_waited_for_again(pace: Pace, clock: Clock) -> None:
    """Only what is left of a portion's time is slept."""
    pace.take(100)
    clock.time += 0.08
    pace.take(100)
    assert clock.passed == 0.1


def test_a_pause_is_not_saved_up(pace: Pace, clock: Clock) -> None:
    """After an idle hour nobody may send an hour's bytes at once."""
    pace.take(100)
    clock.time += 3600
    pace.take(100)
    pace.take(100)
    assert clock.passed == 3600.1


def test_all_that_share_a_memory_share_its_rate(memory: int, clock: Clock) -> None:
    """Four that ask in the same moment go one after another, in the order in which they asked."""
    waits: list[float] = []
    four = [Pace(RATE, memory, now=clock.now, sleep=waits.append) for _ in range(4)]
    for one in four * 2:
        one.take(100)
    assert [round(wait, 6) for wait in waits] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def test_another_memory_is_another_limit(pace: Pace, clock: Clock) -> None:
    """Two destinations do not slow each other down."""
    other = pace_module.new_memory()
    pace.take(100)
    Pace(RATE, other, now=clock.now, sleep=clock.sleep).take(100)
    os.close(other)
    assert clock.passed == 0


@pytest.mark.parametrize(
    ("rate", "portion"),
    [(1, 1), (100, 5), (1 << 20, 52428), (16 << 20, 838860), (1 << 30, MOST), (1 << 50, MOST)],
)
def test_a_portion_is_a_twentieth_of_a_second_of_the_rate(rate: int, portion: int) -> None:
    """Small at low rates, that the bytes flow evenly; never none, and never more than one read."""
    assert Pace(rate, -1).portion == portion


# -- bodies and stores -----------------------------------------------------------------------------


def test_a_paced_body_has_the_same_bytes_in_portions(body: Body, pace: Pace, clock: Clock) -> None:
    """Every byte is waited for, by the portion."""
    portions = list(PacedBody.of(body, pace).chunks())
    assert b"".join(portions) == CONTENT
    assert [len(portion) for portion in portions] == [50] * 10 + [12]
    assert clock.passed == SECONDS


def test_a_text_in_memory_is_paced_as_well(pace: Pace, clock: Clock) -> None:
    """A pointer's text is at most a name, but at a rate for which that is much."""
    assert b"".join(PacedBody.of(Body.of_bytes(CONTENT), pace).chunks()) == CONTENT
    assert clock.passed == SECONDS


def test_a_paced_body_that_is_damaged_is_refused(body: Body, pace: Pace) -> None:
    """To wait does not do away with the check."""
    Path(body.path).write_bytes(CONTENT[::-1])
    with pytest.raises(DamagedError):
        list(PacedBody.of(body, pace).chunks())


def test_a_body_read_for_its_md5_is_not_waited_for(body: Body, pace: Pace, clock: Clock) -> None:
    """What is only looked at is not sent: the bytes would be counted twice."""
    assert md5_of(PacedBody.of(body, pace)) == md5_of(body)
    assert clock.passed == 0


def test_what_botocore_reads_is_paced_each_time(body: Body, pace: Pace, clock: Clock) -> None:
    """After a redirect the bytes are sent again, and count again."""
    reader = BodyReader(PacedBody.of(body, pace))
    for _ in range(2):
        reader.seek(0)
        assert b"".join(iter(reader.read, b"")) == CONTENT
    assert clock.passed == round(2 * SECONDS + 12 / RATE, 6)


def test_whole_objects_and_parts_are_paced(
    tmp_path: Path, body: Body, pace: Pace, clock: Clock
) -> None:
    """Both of the ways on which bytes go to a store; the store itself knows nothing of it."""
    store = with_pace(LocalStore(str(tmp_path)), pace)
    store.put("whole", body, PutMode.CREATE, meta_of(CONTENT))
    assert clock.passed == SECONDS
    session = store.begin("parts", PutMode.CREATE, meta_of(CONTENT))
    sent = store.put_part("parts", session, Part(1, 0, len(CONTENT)), body)
    assert clock.passed == round(2 * SECONDS + 12 / RATE, 6)
    whole = Body.of_bytes(CONTENT)
    store.complete("parts", session, [sent], PutMode.CREATE, meta_of(CONTENT), whole=whole)
    assert [b"".join(store.read(name)) for name in ("whole", "parts")] == [CONTENT, CONTENT]


def test_without_a_limit_a_store_is_not_wrapped(tmp_path: Path) -> None:
    """Who sets no limit pays nothing for it."""
    store = LocalStore(str(tmp_path))
    assert with_pace(store, None) is store


# -- steps -----------------------------------------------------------------------------------------


def test_a_step_may_take_the_time_that_its_share_of_the_limit_asks_for() -> None:
    """Each try waits for it; without a limit nothing is added."""
    step = TakeChecksum("", 64 << 20)
    plain = steps.TIME_LIMIT + step.size / steps.SLOWEST
    assert time_limit(step) == time_limit(step, math.inf) == plain
    assert time_limit(step, 16 << 10) == plain + TRIES_IN_STEP * 4096


def test_threads_of_one_worker_book_their_turns_one_after_another(memory: int) -> None:
    """A record lock does not keep them apart: two would book the same turn, and send too fast."""
    waits: list[float] = []
    pace = Pace(RATE, memory, now=lambda: 100.0, sleep=waits.append)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(pace.take, [1] * 4000))
    assert round(max(waits), 6) == 3999 / RATE
    assert len(set(waits)) == 3999  # the first waits for nothing


def test_only_a_copy_inside_the_store_may_take_hours() -> None:
    """A pointer is a small object like any other."""
    meta = ObjectMeta("a" * 32, 0, None, None, "", 0)
    limits = {
        form: time_limit(steps.Link("target", "name", PutMode.OVERWRITE, form, meta))
        for form in (None, *SymlinkMode)
    }
    assert {form for form, limit in limits.items() if limit > steps.TIME_LIMIT} == {
        SymlinkMode.COPY
    }
