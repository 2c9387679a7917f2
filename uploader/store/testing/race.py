"""Hold a store to the one thing that it alone can decide: who was first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from uploader.errors import ConflictError
from uploader.model import Part, PutMode
from uploader.store.base import ObjectStore
from uploader.store.testing.given import Artifact, Artifacts, content_of
from uploader.store.testing.given import unfinished as unfinished_in

RACERS = 8

Putting = Callable[[ObjectStore, str, Artifact], None]


def put_whole(store: ObjectStore, name: str, artifact: Artifact) -> None:
    """Send it in one request."""
    artifact.put(store, name)


def put_in_parts(store: ObjectStore, name: str, artifact: Artifact) -> None:
    """Send it as a single part: the last part may have any size."""
    session = artifact.begin(store, name)
    try:
        sent = artifact.send(store, name, session, Part(1, 0, len(artifact.content)))
        artifact.complete(store, name, session, [sent])
    except ConflictError:
        artifact.abort(store, name, session)
        raise


class Race:
    """Many nodes, one name, one winner."""

    rounds = 25
    #: What the service decides; of the rest it is known to let several win, if they are at once.
    races: tuple[Putting, ...] = (put_whole, put_in_parts)

    @pytest.mark.timeout(120)  # 8 x 25 uploads, each durable
    @pytest.mark.parametrize("put", [put_whole, put_in_parts])
    def test_of_many_that_create_a_name_exactly_one_wins(
        self,
        store: ObjectStore,
        open_another: Callable[[], ObjectStore],
        artifacts: Artifacts,
        put: Putting,
    ) -> None:
        """Its bytes and no other's are there; every other is told that it lost."""
        stores = [open_another() for _ in range(RACERS)]
        at_once = RACERS if put in self.races else 1
        with ThreadPoolExecutor(at_once) as racers:
            for number in range(self.rounds):
                name = f"races/{number}"
                entries = [artifacts.of(f"{number} {racer}".encode()) for racer in range(RACERS)]
                start = threading.Barrier(at_once)
                won = list(racers.map(racer_of(put, name, start), stores, entries))
                assert won.count(True) == 1, name
                winner = entries[won.index(True)]
                assert content_of(store, name) == winner.content
                assert store.head(name).upload_id == winner.upload_id
                assert put_again(store, name, winner)
        assert unfinished_in(store) == []


def racer_of(
    put: Putting, name: str, start: threading.Barrier
) -> Callable[[ObjectStore, Artifact], bool]:
    """Return what each racer does: wait for the others, put, and say whether it won."""

    def race(store: ObjectStore, artifact: Artifact) -> bool:
        start.wait()
        try:
            put(store, name, artifact)
        except ConflictError:
            return False
        return True

    return race


def put_again(store: ObjectStore, name: str, artifact: Artifact) -> bool:
    """Tell whether the winner, asked again, still counts as the winner."""
    return artifact.put(store, name, PutMode.CREATE).size == len(artifact.content)
