"""Find out about many names at once: what is told is so, and what is not told costs little."""

from __future__ import annotations

from typing import Any, cast

import pytest

from uploader.errors import PermanentError
from uploader.place import Place
from uploader.store.s3.arguments import Arguments
from uploader.store.s3.bucket import Bucket
from uploader.store.s3.lookahead import FEWEST, MOST, REST, Lookahead


class Listing:
    """A bucket that can only be listed."""

    def __init__(self, *keys: str) -> None:
        """Hold these keys."""
        self.keys = keys
        self.prefixes: list[str] = []

    def ask(self, operation: str, **given: Any) -> dict[str, Any]:
        """Answer as S3 does."""
        assert operation == "list_objects_v2"
        self.prefixes.append(given["Prefix"])
        found = sorted(key for key in self.keys if key.startswith(given["Prefix"]))
        told = [{"Key": key} for key in found[: given["MaxKeys"]]]
        truncated = len(found) > given["MaxKeys"]
        return {"Contents": told, "IsTruncated": "true" if truncated else "false"}


def lookahead(bucket: object) -> Lookahead:
    """Return what is tried, below the prefix `run/`."""
    return Lookahead(cast("Bucket", bucket), "run/", Arguments(Place.of("s3://b").options))


def numbered(*numbers: int) -> list[str]:
    """Return names of files."""
    return [f"f{number:05}" for number in numbers]


def test_names_that_are_there_are_not_absent() -> None:
    """And no other one is left out; what is there beside them does not matter."""
    there = numbered(5, 7, 9999)
    bucket = Listing(*(f"run/{name}" for name in there), "run/x", "f00006")
    assert lookahead(bucket).absent(numbered(*range(10))) == set(numbered(0, 1, 2, 3, 4, 6, 8, 9))


def test_names_that_are_alike_are_asked_for_together() -> None:
    """In one listing, or in two where numbers go round: of as few other keys as can be."""
    bucket = Listing()
    names = numbered(*range(90, 110))
    assert lookahead(bucket).absent(names) == set(names)
    assert bucket.prefixes == ["run/f0009", "run/f0010"]
    lookahead(bucket).absent(numbered(*range(20, 29)))
    assert bucket.prefixes[2:] == ["run/f0002"]


def test_names_in_any_order_are_the_same_question() -> None:
    """They come in the order of their sequence numbers, not of their names."""
    bucket = Listing("run/b3")
    assert lookahead(bucket).absent(["b3", "b1", "b2", "b4"]) == {"b1", "b2", "b4"}


def test_a_long_listing_tells_nothing() -> None:
    """It does not say what comes after its end, and not all services list in one order."""
    keys = [f"run/f{number:05}.old" for number in range(MOST + 1)]
    assert lookahead(Listing(*keys)).absent(numbered(1, 1001, 2001, 3001)) == set()


def test_a_few_names_are_not_worth_a_listing() -> None:
    """Each is asked for by itself."""
    bucket = Listing()
    assert lookahead(bucket).absent(numbered(*range(FEWEST - 1))) == set()
    assert bucket.prefixes == []


def test_what_tells_nothing_is_asked_for_less_and_less() -> None:
    """And as before, once it tells something again."""
    keys = [f"run/f{number:05}.old" for number in range(MOST + 1)]
    bucket = Listing(*keys)
    tried = lookahead(bucket)
    for _ in range(20 * REST):
        tried.absent(numbered(1, 1001, 2001, 3001))
    assert 20 < len(bucket.prefixes) < 40
    bucket.keys = ()
    for _ in range(REST):
        tried.absent(numbered(1, 1001, 2001, 3001))
    bucket.prefixes.clear()
    assert len(tried.absent(numbered(*range(10)))) == 10
    assert len(bucket.prefixes) == 1


def test_who_may_not_list_asks_for_each() -> None:
    """It is a permission of its own, and no upload needs it."""

    class Refusing(Listing):
        def ask(self, operation: str, **given: Any) -> dict[str, Any]:
            super().ask(operation, **given)
            raise PermanentError("AccessDenied")

    assert lookahead(Refusing()).absent(numbered(*range(10))) == set()


@pytest.mark.parametrize("answer", [{}, {"IsTruncated": True}, {"IsTruncated": "perhaps"}])
def test_an_answer_that_does_not_say_that_it_is_whole_tells_nothing(answer: dict[str, Any]) -> None:
    """Some services leave out what they do not know."""

    class Vague(Listing):
        def ask(self, operation: str, **given: Any) -> dict[str, Any]:
            super().ask(operation, **given)
            return answer

    assert lookahead(Vague()).absent(numbered(*range(10))) == set()
