"""Read the ledger's SQL statements, each by the name that it has in `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


def sql(name: str) -> str:
    """Return the statement of a name."""
    return _statements()[name]


@cache
def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("queries.sql").read_text()
    pieces = re.split(r"^-- name: (\w+).*$", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip() for name, sql in zip(pieces[::2], pieces[1::2], strict=True)}
