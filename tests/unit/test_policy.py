"""Hold the retry policy: what is tried again, when, and how often."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uploader.errors import (
    AuthError,
    ConflictError,
    DamagedError,
    ErrorClass,
    PermanentError,
    SessionLostError,
    ThrottledError,
    TransientError,
)
from uploader.policy import MAX_DELAY, TRIES_IN_STEP, RetryPolicy, try_in_step

PASSING = [ErrorClass.TRANSIENT, ErrorClass.THROTTLED, ErrorClass.AUTH]
FINAL = [ErrorClass.PERMANENT, ErrorClass.CONFLICT, ErrorClass.DAMAGED]


def test_every_class_is_either_tried_again_or_final() -> None:
    """A new class has to be decided on."""
    assert set(PASSING) | set(FINAL) == set(ErrorClass)


@pytest.mark.parametrize("error_class", FINAL)
def test_a_final_failure_is_given_up_at_once(error_class: ErrorClass) -> None:
    """To try it again is of no use."""
    assert RetryPolicy().gives_up(error_class, 1)


@pytest.mark.parametrize("error_class", PASSING)
def test_a_passing_failure_is_tried_for_ever_unless_asked_otherwise(
    error_class: ErrorClass,
) -> None:
    """A store that is away for a week costs a week, and no artifact."""
    assert not RetryPolicy().gives_up(error_class, 1_000_000)


@pytest.mark.parametrize("error_class", [ErrorClass.TRANSIENT, ErrorClass.THROTTLED])
def test_a_limit_of_attempts_is_kept(error_class: ErrorClass) -> None:
    """The third of three is the last."""
    policy = RetryPolicy(max_attempts=3)
    assert [policy.gives_up(error_class, attempts) for attempts in (1, 2, 3)] == [
        False,
        False,
        True,
    ]


def test_authentication_never_uses_up_the_attempts() -> None:
    """Somebody has to replace the credentials; the artifacts wait for that."""
    assert not RetryPolicy(max_attempts=1).gives_up(ErrorClass.AUTH, 100)


@pytest.mark.parametrize("error_class", PASSING)
def test_delays_are_random_grow_and_end_at_a_cap(error_class: ErrorClass) -> None:
    """A thousand nodes that lost one store do not come back in the same second."""
    policy = RetryPolicy()
    longest = []
    for attempts in (1, 2, 4, 10_000):
        delays = [policy.delay(error_class, attempts) for _ in range(200)]
        assert len(set(delays)) > 100
        assert min(delays) >= 0
        longest.append(max(delays))
    assert longest == sorted(longest)
    assert longest[-1] <= MAX_DELAY


class _Request:
    """A request that fails as often as it is told."""

    def __init__(self, error: Exception, failures: int) -> None:
        self.calls = 0
        self._error, self._failures = error, failures

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return "answer"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the pauses, and make them take no time."""
    noted: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", noted.append)
    return noted


@pytest.mark.parametrize("error", [TransientError("reset"), SessionLostError("gone")])
def test_a_request_is_tried_a_few_times_in_its_step(pauses: list[float], error: Exception) -> None:
    """One reset connection does not cost a round through the journal."""
    request = _Request(error, TRIES_IN_STEP - 1)
    assert try_in_step(request) == "answer"
    assert len(pauses) == TRIES_IN_STEP - 1
    assert all(0 <= pause <= 2 for pause in pauses)


def test_a_request_that_goes_on_failing_fails_with_its_own_error(pauses: list[float]) -> None:
    """Not with the retrying library's."""
    request = _Request(TransientError("reset"), 100)
    with pytest.raises(TransientError, match="reset"):
        try_in_step(request)
    assert request.calls == TRIES_IN_STEP


@pytest.mark.parametrize(
    "error",
    [ThrottledError, AuthError, PermanentError, ConflictError, DamagedError],
)
def test_other_failures_are_not_tried_again_in_the_step(
    pauses: list[float], error: Callable[[str], Exception]
) -> None:
    """The supervisor must hear of throttling, and the rest will not pass."""
    request = _Request(error("no"), 100)
    with pytest.raises(Exception, match="no"):
        try_in_step(request)
    assert (request.calls, pauses) == (1, [])
