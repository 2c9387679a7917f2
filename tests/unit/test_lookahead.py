"""Find out about many names at once: what is told is so, and what is not told costs little."""

from __future__ import annotations

import pytest

from uploader.errors import PermanentError
from uploader.place import Place
from uploader.store.lookahead import FEWEST, MOST, REST, Lookahead
from uploader.store.s3.store import S3Store


class Listing:
    """A bucket that can only be listed."""

    def __init__(self, *names: str) -> None:
        """Hold these names."""
        self.names = names
        self.begins: list[str] = []

    def __call__(self, begin: str, most: int) -> set[str] | None:
        """Answer as a store does."""
        self.begins.append(begin)
        found = {name for name in self.names if name.startswith(begin)}
        return found if len(found) <= most else None


def numbered(*numbers: int) -> list[str]:
    """Return names of files."""
    return [f"f{number:05}" for number in numbers]


def test_names_that_are_there_are_not_absent() -> None:
    """And no other one is left out; what is there beside them does not matter."""
    there = numbered(5, 7, 9999)
    bucket = Listing(*there, "x")
    assert Lookahead(bucket).absent(numbered(*range(10))) == set(numbered(0, 1, 2, 3, 4, 6, 8, 9))


def test_names_that_are_alike_are_asked_for_together() -> None:
    """In one listing, or in two where numbers go round: of as few other keys as can be."""
    bucket = Listing()
    names = numbered(*range(90, 110))
    assert Lookahead(bucket).absent(names) == set(names)
    assert bucket.begins == ["f0009", "f0010"]
    Lookahead(bucket).absent(numbered(*range(20, 29)))
    assert bucket.begins[2:] == ["f0002"]


def test_names_in_any_order_are_the_same_question() -> None:
    """They come in the order of their sequence numbers, not of their names."""
    bucket = Listing("b3")
    assert Lookahead(bucket).absent(["b3", "b1", "b2", "b4"]) == {"b1", "b2", "b4"}


def test_a_long_listing_tells_nothing() -> None:
    """It does not say what comes after its end, and not all services list in one order."""
    keys = [f"f{number:05}.old" for number in range(MOST + 1)]
    assert Lookahead(Listing(*keys)).absent(numbered(1, 1001, 2001, 3001)) == set()


def test_a_few_names_are_not_worth_a_listing() -> None:
    """Each is asked for by itself."""
    bucket = Listing()
    assert Lookahead(bucket).absent(numbered(*range(FEWEST - 1))) == set()
    assert bucket.begins == []


def test_what_tells_nothing_is_asked_for_less_and_less() -> None:
    """And as before, once it tells something again."""
    keys = [f"f{number:05}.old" for number in range(MOST + 1)]
    bucket = Listing(*keys)
    tried = Lookahead(bucket)
    for _ in range(20 * REST):
        tried.absent(numbered(1, 1001, 2001, 3001))
    assert 20 < len(bucket.begins) < 40
    bucket.names = ()
    for _ in range(REST):
        tried.absent(numbered(1, 1001, 2001, 3001))
    bucket.begins.clear()
    assert len(tried.absent(numbered(*range(10)))) == 10
    assert len(bucket.begins) == 1


def test_who_may_not_list_asks_for_each() -> None:
    """It is a permission of its own, and no upload needs it."""

    def refused(begin: str, most: int) -> set[str]:
        del begin, most
        raise PermanentError("AccessDenied")

    assert Lookahead(refused).absent(numbered(*range(10))) == set()


@pytest.mark.parametrize("answer", [{}, {"IsTruncated": True}, {"IsTruncated": "perhaps"}])
def test_an_answer_of_s3_that_does_not_say_that_it_is_whole_tells_nothing(
    answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some services leave out what they do not know."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = S3Store(Place.of("s3://bucket?region=us-east-1"))
    monkeypatch.setattr("uploader.store.s3.bucket.Bucket.ask", lambda *_, **__: answer)
    assert store.absent(numbered(*range(10))) == set()
