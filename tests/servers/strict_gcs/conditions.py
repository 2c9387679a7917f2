"""Hold a request to its preconditions.

- A name that is free has generation 0: `ifGenerationMatch=0` is "only if it is free".
- A `NotMatch` that does not hold is 304 for a reader, 412 for a writer.

Source: "Request preconditions" in GCS's documentation.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tests.servers.strict_gcs.errors import condition_not_met, invalid, not_modified

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What must hold of a name's live object; None does not matter."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @staticmethod
    def of(query: Mapping[str, Any], prefix: str = "if") -> Conditions:
        """Read them from a query, or from a source's `objectPreconditions`.

        Raises:
            ApiError: 400, one is not a number.
        """
        return Conditions(
            _number(query, f"{prefix}GenerationMatch"),
            _number(query, f"{prefix}GenerationNotMatch"),
            _number(query, f"{prefix}MetagenerationMatch"),
            _number(query, f"{prefix}MetagenerationNotMatch"),
        )

    def require(self, live: Mapping[str, Any] | None, *, reading: bool = False) -> None:
        """Refuse what does not hold of the live object's resource, None if there is no object.

        Raises:
            ApiError: 412, or 304 for a reader.
        """
        generation = int(live["generation"]) if live else 0
        metageneration = int(live["metageneration"]) if live else None
        if self.generation not in {None, generation}:
            raise condition_not_met()
        if self.metageneration is not None and self.metageneration != metageneration:
            raise condition_not_met()
        if self._is_as_it_was(generation, metageneration):
            raise not_modified() if reading else condition_not_met()

    def _is_as_it_was(self, generation: int, metageneration: int | None) -> bool:
        if self.not_generation is not None and self.not_generation == generation:
            return True
        return self.not_metageneration is not None and self.not_metageneration == metageneration


def _number(query: Mapping[str, Any], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError:
        raise invalid(f"Invalid value for {name}: {query[name]}", "invalidParameter") from None
