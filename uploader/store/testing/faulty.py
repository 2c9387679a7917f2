"""Wrap a store so that it fails, is slow, or loses its answers: for rehearsals and tests.

Worker processes make their own stores, so the faults come by the environment:

    UPLOADER_FAULTS="transient=0.2,lost=0.1,delay=0.05,seed=7"

transient  share of calls that fail before they do anything
throttled  share of calls that are told to slow down
lost       share of calls that do their work and then fail: the answer was lost
delay      seconds that a call takes longer, on average (exponentially distributed)
hold       a path: calls wait while there is a file, after making PATH.reached
only       the one method that all of this is for
refuse     a glob of names that are refused for ever (as a missing permission is)
seed       makes a run repeatable
"""

from __future__ import annotations

import fnmatch
import os
import random
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

from uploader.errors import PermanentError, ThrottledError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from uploader.store.base import ObjectStore

VARIABLE = "UPLOADER_FAULTS"
HOLD_POLL = 0.01  #: seconds between looks for the file that holds calls

#: What faults are injected into; reading stays whole, so that a check can be believed.
_FAULTY = frozenset(
    [
        "put",
        "begin",
        "put_part",
        "sent_parts",
        "complete",
        "abort",
        "copy",
        "symlink",
        "delete",
        "head",
    ]
)


_TEXTS = frozenset({"hold", "only", "refuse"})  #: faults whose value is no number


@dataclass(frozen=True)
class Faults:
    """How a store is to fail."""

    transient: float = 0.0
    throttled: float = 0.0
    lost: float = 0.0
    delay: float = 0.0
    hold: str = ""
    only: str = ""
    refuse: str = ""
    seed: float | None = None

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read `key=value,…`; `ValueError` for a key that does not exist."""
        given = dict(pair.split("=", 1) for pair in text.split(",") if pair)
        unknown = set(given) - {field.name for field in fields(cls)}
        if unknown:
            msg = f"{VARIABLE}: no such fault: {', '.join(sorted(unknown))}; see {__name__}"
            raise ValueError(msg)
        values: dict[str, Any] = {
            key: value if key in _TEXTS else float(value) for key, value in given.items()
        }
        return cls(**values)


class FaultyStore:
    """A store with the same interface that fails as it is told."""

    def __init__(self, store: ObjectStore, faults: Faults) -> None:
        """Wrap `store`."""
        self._store = store
        self._faults = faults
        self._random = random.Random(  # noqa: S311  for faults, not for secrets
            None if faults.seed is None else faults.seed + os.getpid()
        )

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        only = self._faults.only
        faulty = name == only if only else name in _FAULTY
        return self._failing(name, attribute) if faulty else attribute

    def _failing(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._wait_while_held()
            if self._faults.delay:
                time.sleep(self._random.expovariate(1 / self._faults.delay))
            if self._faults.refuse and fnmatch.fnmatch(str(args[0]), self._faults.refuse):
                msg = f"injected: {args[0]} is refused"
                raise PermanentError(msg)
            self._fail(name, self._faults.transient, TransientError, "failed")
            self._fail(name, self._faults.throttled, ThrottledError, "was throttled")
            answer = method(*args, **kwargs)
            self._fail(name, self._faults.lost, TransientError, "lost its answer")
            return answer

        return call

    def _wait_while_held(self) -> None:
        path = self._faults.hold
        while path and os.path.exists(path):
            os.close(os.open(f"{path}.reached", os.O_CREAT))
            time.sleep(HOLD_POLL)

    def _fail(self, name: str, share: float, error: type[Exception], how: str) -> None:
        if self._random.random() < share:
            msg = f"injected: {name} {how}"
            raise error(msg)


def with_faults(store: ObjectStore) -> ObjectStore:
    """Return `store`, wrapped if the environment asks for faults."""
    text = os.environ.get(VARIABLE)
    if not text:
        return store
    return cast("ObjectStore", FaultyStore(store, Faults.parse(text)))
