"""Hold a store to its contract for objects that are sent in parts."""

from __future__ import annotations

import pytest

from uploader.errors import ConflictError, DamagedError, SessionLostError, StoreError
from uploader.model import PutMode, SentPart
from uploader.store.base import IN_ORDER, ObjectStore
from uploader.store.testing.given import Artifacts, content_of, is_there, names_in
from uploader.store.testing.given import unfinished as unfinished_in
from uploader.store.testing.whole import spoil

CREATE, OVERWRITE = PutMode.CREATE, PutMode.OVERWRITE


class ObjectsInParts:
    """Sessions, parts, and the object that they become."""

    in_order = False  #: True: the parts of a session come one after another
    lists_sessions = True  #: False: what nobody knows of any more ends by itself
    knows_sessions = True  #: False: parts are objects, and any may come at any time

    @pytest.mark.parametrize("mode", PutMode)
    def test_parts_come_in_any_order_again_and_from_anywhere(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts, mode: PutMode
    ) -> None:
        """Last first, if there is no order, the middle one twice, and two processes at it."""
        artifact, (first, second, third) = artifacts.for_parts(store)
        session = artifact.begin(store, "a/large", mode)
        assert session.startswith(IN_ORDER) == self.in_order
        turns = [(store, second), (store, third), (another, second), (another, first)]
        if self.in_order:
            turns = [(store, first), (store, second), (another, second), (another, third)]
        sent = [artifact.send(place, "a/large", session, part) for place, part in turns]
        del sent[0 if turns[0][1] is second else 1]  # it was sent twice
        sent.sort(key=lambda part: part.number)
        receipt = artifact.complete(store, "a/large", session, sent, mode)
        assert content_of(store, "a/large") == artifact.content
        assert (receipt.size, receipt.crc32c) == (artifact.meta.size, artifact.meta.crc32c)
        info = store.head("a/large")
        assert (info.upload_id, info.crc32c) == (artifact.upload_id, artifact.meta.crc32c)
        assert unfinished_in(store) == []

    def test_a_part_before_its_time_is_refused_where_there_is_an_order(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """No hole is ever filled with what comes after it; the upload goes on all the same."""
        artifact, (first, second, third) = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        if self.in_order:
            with pytest.raises(StoreError):
                artifact.send(store, "large", session, second)
        sent = [artifact.send(store, "large", session, part) for part in (first, second, third)]
        artifact.complete(store, "large", session, sent)
        assert content_of(store, "large") == artifact.content

    def test_nothing_is_visible_before_it_is_complete(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Neither by name nor in the listing."""
        artifact, parts = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        for part in parts:
            artifact.send(store, "large", session, part)
            assert not is_there(store, "large")
            assert names_in(store) == []

    def test_another_process_goes_on_where_one_stopped(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """It learns which parts are there, sends the rest, and completes."""
        artifact, (first, second, third) = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        early, late = (second, third) if self.in_order else (third, second)
        recorded = [artifact.send(store, "large", session, part) for part in (first, early)]
        found = another.sent_parts("large", session, recorded)
        assert [(part.number, part.size) for part in found] == [
            (part.number, part.size) for part in (first, early)
        ]
        found.insert(late.number - 1, artifact.send(another, "large", session, late))
        artifact.complete(another, "large", session, found)
        assert content_of(store, "large") == artifact.content

    @pytest.mark.parametrize("mode", PutMode)
    def test_completing_again_is_success(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts, mode: PutMode
    ) -> None:
        """The answer was lost; the object is there, and is known as this upload's own."""
        artifact, parts = artifacts.for_parts(store)
        session = artifact.begin(store, "large", mode)
        sent = [artifact.send(store, "large", session, part) for part in parts]
        artifact.complete(store, "large", session, sent, mode)
        again = artifact.complete(another, "large", session, sent, mode)
        assert again.crc32c == artifact.meta.crc32c
        assert content_of(store, "large") == artifact.content
        assert unfinished_in(store) == []

    def test_beginning_again_after_success_ends_in_success(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """The session was never recorded: the upload begins anew, and finds its own object."""
        artifact, parts = artifacts.for_parts(store)
        for _ in range(2):
            session = artifact.begin(store, "large")
            sent = [artifact.send(store, "large", session, part) for part in parts]
            artifact.complete(store, "large", session, sent)
        assert content_of(store, "large") == artifact.content

    def test_a_missing_part_is_refused(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """An object with a hole never becomes visible."""
        artifact, parts = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        sent = [artifact.send(store, "large", session, part) for part in parts]
        with pytest.raises(StoreError):
            artifact.complete(store, "large", session, [sent[0], sent[2]])
        assert not is_there(store, "large")

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "symlinked"])
    def test_a_damaged_part_is_refused(
        self, store: ObjectStore, artifacts: Artifacts, damage: str
    ) -> None:
        """The spool file changed after it was logged: no answer that could be recorded."""
        artifact, (_, _, third) = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        spoil(artifact, damage)
        with pytest.raises(DamagedError, match="spool file damaged"):
            artifact.send(store, "large", session, third)
        assert not is_there(store, "large")

    def test_a_session_that_was_removed_is_lost(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Sending, asking and completing all say so; the upload can then begin again.

        Where parts are objects, none is there any more, and the object cannot be made of them.
        """
        artifact, (first, *_) = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        sent = [artifact.send(store, "large", session, first)]
        artifact.abort(another, "large", session)
        if self.knows_sessions:
            with pytest.raises(SessionLostError):
                artifact.send(store, "large", session, first)
            with pytest.raises(SessionLostError):
                store.sent_parts("large", session, sent)
        else:
            assert store.sent_parts("large", session, sent) == []
            rest = SentPart(2, artifact.meta.size - first.size, "0")
            sent.append(rest)
        with pytest.raises(SessionLostError):
            artifact.complete(store, "large", session, sent)
        artifact.send(store, "large", artifact.begin(store, "large"), first)

    def test_aborting_leaves_nothing(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Again, by another process, is success."""
        artifact, (first, *_) = artifacts.for_parts(store)
        session = artifact.begin(store, "a/large")
        artifact.send(store, "a/large", session, first)
        for place in (store, another, store):
            artifact.abort(place, "a/large", session)
        assert unfinished_in(store) == []
        assert names_in(store) == []

    def test_aborting_finds_a_session_that_was_never_recorded(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """The answer to its beginning was lost, so no part was ever sent to it."""
        artifact, _ = artifacts.for_parts(store)
        artifact.begin(store, "a/large")
        artifact.abort(another, "a/large", None)
        assert unfinished_in(store) == []

    def test_aborting_leaves_finished_objects_alone(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Of the same name, or of the same upload."""
        artifact = artifacts.of(b"content")
        artifact.put(store, "name")
        artifact.abort(store, "name", None)
        artifacts.of(b"other").abort(store, "name", None)
        assert content_of(store, "name") == b"content"

    def test_an_existing_name_conflicts_before_a_byte_is_sent(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """With CREATE, at the beginning; with OVERWRITE it is what will be replaced."""
        artifacts.of(b"other").put(store, "large")
        artifact, _ = artifacts.for_parts(store)
        with pytest.raises(ConflictError, match="already exists"):
            artifact.begin(store, "large")
        assert unfinished_in(store) == []
        assert artifact.begin(store, "large", OVERWRITE)

    def test_a_name_taken_meanwhile_conflicts_at_the_end(
        self, store: ObjectStore, another: ObjectStore, artifacts: Artifacts
    ) -> None:
        """The object that came first stays as it is."""
        artifact, parts = artifacts.for_parts(store)
        session = artifact.begin(store, "large")
        sent = [artifact.send(store, "large", session, part) for part in parts]
        artifacts.of(b"other").put(another, "large")
        with pytest.raises(ConflictError, match="already exists"):
            artifact.complete(store, "large", session, sent)
        artifact.abort(store, "large", session)
        assert content_of(store, "large") == b"other"
        assert unfinished_in(store) == []

    def test_overwrite_replaces_at_the_end(self, store: ObjectStore, artifacts: Artifacts) -> None:
        """Until then the older object is whole."""
        artifacts.of(b"older").put(store, "large")
        artifact, parts = artifacts.for_parts(store)
        session = artifact.begin(store, "large", OVERWRITE)
        sent = [artifact.send(store, "large", session, part) for part in parts]
        assert content_of(store, "large") == b"older"
        artifact.complete(store, "large", session, sent, OVERWRITE)
        assert content_of(store, "large") == artifact.content

    def test_sweeping_removes_sessions_that_nobody_needs(
        self, store: ObjectStore, artifacts: Artifacts
    ) -> None:
        """Not one that is kept, not a young one, and no finished object."""
        artifacts.of(b"object").put(store, "object")
        artifact, (first, *_) = artifacts.for_parts(store)
        session = artifact.begin(store, "a/large")
        artifact.send(store, "a/large", session, first)
        assert store.sweep({session}, older_than=0) == []
        assert store.sweep(set(), older_than=3600) == []
        artifact.send(store, "a/large", session, first)
        assert len(store.sweep(set(), older_than=0)) == (1 if self.lists_sessions else 0)
        if self.lists_sessions and self.knows_sessions:
            with pytest.raises(SessionLostError):
                artifact.send(store, "a/large", session, first)
        assert names_in(store) == ["object"]
