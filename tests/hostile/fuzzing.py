"""Say how many examples are tried, and of what: the same at each run, unless more are asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

VARIABLE = "UPLOADER_FUZZ"  #: times as many examples, and other ones at each run
TIMES = int(os.environ.get(VARIABLE, "1"))
EXAMPLES = 60  #: of each property


def fuzzed(test: Callable[..., Any]) -> Callable[..., Any]:
    """Try a property with examples that do not change from run to run."""
    return settings(
        max_examples=EXAMPLES * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )(test)


#: text as nobody writes it: NUL, lone surrogates, other alphabets' digits, escapes of terminals
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=80) | st.sampled_from(
    ["\0", "\ud800", "٣", "²", "\x1b[2J", "a\r\nb: c", "../" * 9, "%00", "1e999", "9" * 5000, "nan"]
)

#: whatever JSON can hold, and Python reads
DOCUMENTS: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)

#: JSON and XML that are deeper than a stack
DEEP_JSON = [b"[" * 200_000, b'{"a":' * 100_000, b'{"error":' + b"[" * 200_000]
