"""Say when a failed attempt is made again, and when it is given up.

The policies are tenacity's, in one place: SDK retries are off, so that layers do not multiply.

- Inside a step: a few quick tries, so that one reset connection does not cost a journal commit.
- Between attempts (`not_before`): randomised exponential, capped; no limit of attempts unless
  asked for. Randomised, because a thousand nodes that lost one store come back together.
- Authentication: slower, and attempts are not used up; somebody has to replace credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from uploader import clock
from uploader.errors import ErrorClass, ThrottledError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity.wait import wait_base

T = TypeVar("T")

MAX_DELAY = 60.0  #: seconds; the longest an upload waits for its next attempt
AUTH_MAX_DELAY = 30.0  #: seconds between looks for new credentials; one question for the spool
TRIES_IN_STEP = 3  #: tries of one request before the step is answered as failed

_WAIT_IN_STEP = wait_random_exponential(multiplier=0.1, max=2)
_WAIT: dict[ErrorClass, wait_base] = {
    ErrorClass.TRANSIENT: wait_random_exponential(multiplier=0.5, max=MAX_DELAY),
    ErrorClass.THROTTLED: wait_random_exponential(multiplier=1, max=MAX_DELAY),
    ErrorClass.AUTH: wait_random_exponential(multiplier=1, max=AUTH_MAX_DELAY),
}


@dataclass(frozen=True)
class RetryPolicy:
    """Decide over a failed attempt."""

    max_attempts: int | None = None  #: attempts before a transient failure is final; None: no limit

    def gives_up(self, error_class: ErrorClass, attempts: int) -> bool:
        """Tell whether an upload with `attempts` failed attempts is to be a dead letter."""
        if error_class not in _WAIT:
            return True
        if error_class is ErrorClass.AUTH or self.max_attempts is None:
            return False
        return attempts >= self.max_attempts

    def delay(self, error_class: ErrorClass, attempts: int) -> float:
        """Return the seconds to wait for the next attempt, after `attempts` failures in a row."""
        call = RetryCallState(Retrying(), None, (), {})
        call.attempt_number = max(1, attempts)
        return float(_WAIT[error_class](call))


def try_in_step(request: Callable[[], T]) -> T:
    """Call `request`, again after a transient fault, a few times; then let its error through.

    Throttling is not tried again here: the supervisor must hear of it and ask for less.
    """
    try:
        return request()
    except TransientError as error:
        failed = [error]

    def again() -> T:
        if failed:
            raise failed.pop()
        return request()

    retrying = Retrying(
        stop=stop_after_attempt(TRIES_IN_STEP),
        wait=_WAIT_IN_STEP,
        retry=retry_if_exception(_passes_quickly),
        reraise=True,
    )
    return retrying(again)


def try_until(
    deadline: float, request: Callable[[], T], passes: Callable[[BaseException], bool]
) -> T:
    """Call `request`, again after any error that `passes`, until `deadline`; then let it through.

    For one request of many that help only together: to give up at one of thirty, where every third
    fails, would be to begin with the first for ever. Throttling may be waited for here.

    Args:
        deadline: monotonic seconds; the first call is made in any case.
        request: what may be done again.
        passes: tells what is of use to be tried again.
    """
    retrying = Retrying(
        stop=lambda _: clock.monotonic() >= deadline,
        wait=_WAIT_IN_STEP,
        retry=retry_if_exception(passes),
        reraise=True,
    )
    return retrying(request)


def _passes_quickly(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, ThrottledError)
