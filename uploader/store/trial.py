"""Try out a service by asking it: what every bucket's trial has in common.

- The objects that are tried with have names of their own, and are removed afterwards.
- Only what the service answered counts. Once it answered at all, faults that pass are waited for at
  each request: thirty in a row would never go well at a service that fails at every third. When
  patience is at an end, nothing was found out, and the error goes to the caller.
- Each line says what to do. What no upload can work without is a refusal; all else is a warning.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar

from uploader import clock
from uploader.errors import AuthError, ConflictError, PermanentError, StoreError
from uploader.policy import try_until
from uploader.store.base import ObjectMeta
from uploader.store.probe import Finding, Probed, Verdict, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from uploader.place import Capabilities

T = TypeVar("T")

PROBE = ".uploader-probe-"  #: how the names begin of the objects that are tried with
PATIENCE = 60.0  #: seconds for faults that pass, in all; the time limit of a step is far above it
SKEW = 60.0  #: seconds by which a clock may be wrong unmentioned
TEXT = b"written by uploader check; it may be removed"


def is_probe(name: str) -> bool:
    """Tell whether an object is one that a probe left behind."""
    return name.rpartition("/")[2].startswith(PROBE)


def new_key(prefix: str) -> str:
    """Return a key to try with, which nobody else has."""
    return f"{prefix}{PROBE}{secrets.token_hex(8)}"


def swept_text(url: str, age: float) -> str:
    """Tell people of an object of a trial that was killed, `age` seconds ago, and is removed."""
    return f"{url} (a trial of the service {age:.0f} s ago)"


def meta_of(data: bytes | None = TEXT) -> ObjectMeta:
    """Return what is written beside what is tried with."""
    return ObjectMeta("probe", len(data or b""), None, None, "", 0)


class Patience:
    """Requests that are made again after a fault that passes, for some time in all."""

    def __init__(self, passes: Callable[[BaseException], bool]) -> None:
        """Have none, until the service has answered."""
        self._passes = passes
        self._until = 0.0  #: monotonic seconds

    def begin(self) -> None:
        """Have patience from now on: the service has answered."""
        self._until = clock.monotonic() + PATIENCE

    def again(self, request: Callable[[], T]) -> T:
        """Return what a request does when it is made often enough."""
        return try_until(self._until, request, self._passes)

    def tried(self, request: Callable[[], object]) -> StoreError | None:
        """Return the error with which the service itself answered, None if it did as asked."""
        try:
            self.again(request)
        except StoreError as error:
            if isinstance(error, AuthError) or self._passes(error):
                raise
            return error
        return None

    def refuses(self, request: Callable[[], object]) -> bool:
        """Tell whether the service refuses because of the condition."""
        return isinstance(self.tried(request), ConflictError)


def run(
    trials: Sequence[Callable[[], Iterable[Finding]]],
    clean: Callable[[], Finding],
    found_out: Callable[[], Capabilities],
) -> Probed:
    """Try everything, or what there is until the first refusal.

    Args:
        trials: each tells what it found.
        clean: removes what was written, and tells what became of it.
        found_out: returns what the service honours, after all trials.

    Raises:
        TransientError: the service could not be asked.
    """
    findings: list[Finding] = []
    try:
        for trial in trials:
            findings += trial()
            if any(finding.verdict is Verdict.REFUSED for finding in findings):
                return Probed(tuple(findings))
    except (AuthError, PermanentError) as error:
        what = "credentials" if isinstance(error, AuthError) else "permissions"
        return Probed((*findings, refusal(what, error)))
    finally:
        left = clean()
    return Probed((*findings, left), found_out())


def create_only(what: str, honoured: bool, *, condition: str, unsafe: bool) -> Finding:
    """Return the finding about a create.

    Args:
        what: was created.
        honoured: whether the service refused to replace an object.
        condition: as its API calls it.
        unsafe: whether creates are allowed all the same.
    """
    if honoured:
        return Finding(what, Verdict.OK, f"{condition} is honoured")
    if unsafe:
        return Finding(
            what, Verdict.WARNING, f"{condition} is ignored",
            "--allow-unsafe-create is set: two machines that create one name can collide",
        )  # fmt: skip
    return Finding(
        what, Verdict.WARNING,
        f"{condition} is ignored: an upload without overwrite will be refused",
        "log with overwrite, or accept that two machines can collide: --allow-unsafe-create",
    )  # fmt: skip


def of_clock(skew: float, advice: str) -> Finding:
    """Return the finding about a clock that is `skew` seconds ahead of the service's."""
    off = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service"
    if abs(skew) > SKEW:
        return Finding("clock", Verdict.WARNING, off, f"set this machine's clock: {advice}")
    return Finding("clock", Verdict.OK, "as the service's, within a minute")


def skew_of(date: str, at: float) -> float:
    """Return by how many seconds this machine was ahead of an HTTP date that came at its `at`."""
    from email.utils import parsedate_to_datetime  # slow to load, and for probes only

    return at - parsedate_to_datetime(date).timestamp()
