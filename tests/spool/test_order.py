"""Hold who waits for whom, who is superseded, and what a retry brings along."""

from __future__ import annotations

import pytest

from tests.place import Place
from uploader.errors import ErrorClass
from uploader.state import State

FAR = 1e12  #: seconds; a horizon that no retry is beyond


def startable(place: Place) -> list[str]:
    """Return the names of what may start now."""
    return [upload.name for upload in place.spool.ledger.startable(1.0, FAR, 100)]


def state(place: Place, upload_id: str) -> State:
    """Return where an upload is."""
    return place.spool.upload(upload_id).state


def waits_for(place: Place, upload_id: str) -> str | None:
    """Return the id of the upload that must end first."""
    seq = place.spool.upload(upload_id).waiting_on
    return None if seq is None else place.spool.ledger.upload(seq).id


def begin(place: Place, upload_id: str) -> None:
    """Have a worker take it up."""
    assert place.spool.ledger.start_all([place.spool.upload(upload_id)])


def test_versions_of_a_name_go_one_after_the_other(place: Place) -> None:
    """A newer one waits for what is under way, and goes when that has ended."""
    first = place.put("name", "1", overwrite=True)
    begin(place, first)
    second = place.put("name", "2", overwrite=True)
    assert waits_for(place, second) == first
    assert startable(place) == []
    assert place.spool.ledger.start_all([place.spool.upload(second)]) == []
    place.spool.ledger.fail(place.spool.upload(first), ErrorClass.PERMANENT, "why")
    assert startable(place) == ["name"]


def test_other_names_do_not_wait(place: Place) -> None:
    """However many wait for one name."""
    begin(place, place.put("name", "1", overwrite=True))
    place.put("name", "2", overwrite=True)
    place.put("other", "3")
    assert startable(place) == ["other"]


def test_a_newer_version_supersedes_those_of_which_nothing_was_sent(place: Place) -> None:
    """Their bytes leave the disk, and they are never sent."""
    first = place.put("name", "1", overwrite=True)
    second = place.put("name", "2", overwrite=True)
    third = place.put("name", "3", overwrite=True)
    assert [state(place, one) for one in (first, second, third)] == [
        State.SUPERSEDED,
        State.SUPERSEDED,
        State.READY,
    ]
    blobs = [path.name for path in place.spool.layout.blobs.glob("*/*")]
    assert blobs == [third]
    assert startable(place) == ["name"]


def test_a_version_under_way_is_not_superseded(place: Place) -> None:
    """Nor one whose parts are at the store: it ends first."""
    active = place.put("active", "1")
    begin(place, active)
    place.put("active", "2", overwrite=True)
    assert state(place, active) is State.ACTIVE
    partly = place.put("partly", "1")
    begin(place, partly)
    seq = place.spool.upload(partly).seq
    place.spool.ledger.record_session(seq, "session", 1 << 20)
    place.spool.ledger.put_back(seq)
    newer = place.put("partly", "2", overwrite=True)
    assert state(place, partly) is State.READY
    assert waits_for(place, newer) == partly


def test_a_symlink_supersedes_and_is_superseded_like_a_file(place: Place) -> None:
    """A name is a name."""
    place.put("target", "x")
    file = place.put("name", "1")
    link = place.link("target", "name", overwrite=True)
    assert state(place, file) is State.SUPERSEDED
    place.put("name", "2", overwrite=True)
    assert state(place, link) is State.SUPERSEDED


def test_a_symlink_waits_for_the_uploads_of_its_target_before_it(place: Place) -> None:
    """And not for those after it."""
    first = place.put("target", "1")
    link = place.link("target", "link")
    assert waits_for(place, link) == first
    place.arrive(first)
    assert waits_for(place, link) is None
    place.put("target", "2", overwrite=True)
    assert waits_for(place, link) is None
    assert startable(place) == ["link", "target"]


def test_a_version_that_a_symlink_waits_for_is_not_superseded(place: Place) -> None:
    """The symlink was logged between it and the next: it must find what it was logged for."""
    first = place.put("target", "1")
    link = place.link("target", "link")
    second = place.put("target", "2", overwrite=True)
    assert state(place, first) is State.READY
    assert waits_for(place, second) == first
    third = place.put("target", "3", overwrite=True)
    assert state(place, second) is State.SUPERSEDED  # no symlink was logged after it
    assert state(place, first) is State.READY
    assert waits_for(place, third) == first
    place.arrive(first)
    assert startable(place) == ["link", "target"]
    place.arrive(link)
    assert (place.remote / "link").read_text() == "1"


def test_a_chain_of_waits_moves_on_when_a_link_of_it_is_cancelled(place: Place) -> None:
    """What waited for it waits for what it waited for."""
    first = place.put("name", "1", overwrite=True)
    begin(place, first)
    link = place.link("other", "name", overwrite=True)
    last = place.link("name", "last")
    assert waits_for(place, link) == first
    assert waits_for(place, last) == link
    place.spool.cancel(link)
    assert waits_for(place, last) == first


def test_a_revived_dead_letter_goes_before_the_symlinks_to_it(place: Place) -> None:
    """Those that were logged after it, which died with it, or still wait."""
    target = place.put("target", "1")
    place.die(target, ErrorClass.PERMANENT)
    link = place.link("target", "link")
    assert waits_for(place, link) is None
    place.spool.retry(target)
    assert waits_for(place, link) == target
    assert startable(place) == ["target"]
    place.arrive(target)
    place.arrive(link)
    assert (place.remote / "link").read_text() == "1"


def test_a_retry_brings_the_dead_symlinks_to_it_along(place: Place) -> None:
    """Over several of them; the symlinks of other targets stay dead."""
    target = place.put("target", "1")
    links = [place.link("target", "link"), place.link("link", "link of link")]
    stranger = place.link("elsewhere", "stranger")
    for upload_id in (target, *links, stranger):
        place.die(upload_id, ErrorClass.PERMANENT)
    place.spool.retry("target")
    assert [state(place, one) for one in (target, *links)] == [State.READY] * 3
    assert [waits_for(place, one) for one in links] == [target, links[0]]
    assert state(place, stranger) is State.DEAD


def test_dead_versions_that_are_retried_go_in_their_order(place: Place) -> None:
    """Whichever was asked for first."""
    first = place.put("name", "1", overwrite=True)
    place.die(first, ErrorClass.PERMANENT)
    second = place.put("name", "2", overwrite=True)
    place.die(second, ErrorClass.PERMANENT)
    place.spool.retry(second)
    assert waits_for(place, second) is None
    place.spool.cancel(second)
    third = place.put("name", "3", overwrite=True)
    place.die(third, ErrorClass.PERMANENT)
    place.spool.retry(all=True)
    assert waits_for(place, third) == first


@pytest.mark.parametrize("newer", ["done", "waiting"])
def test_a_retry_of_what_a_newer_version_replaced_ends_it(place: Place, newer: str) -> None:
    """An older version never lands on a newer one; its bytes leave the disk."""
    older = place.put("name", "1", overwrite=True)
    place.die(older, ErrorClass.TRANSIENT)
    upload_id = place.put("name", "2")  # no overwrite: a done overwrite would end it by itself
    if newer == "done":
        place.arrive(upload_id)
        older = place.put("again", "1")
        place.die(older, ErrorClass.TRANSIENT)
        place.arrive(place.put("again", "2"))
    (ended,) = place.spool.retry(older)
    assert ended.state is State.SUPERSEDED
    assert not place.spool.layout.blob(older).exists()


def test_an_arrival_ends_the_older_dead_letters_that_would_replace_it(place: Place) -> None:
    """Nobody has to decide about them any more."""
    older = place.put("name", "1", overwrite=True)
    create_only = place.put("other", "1")
    place.die(older, ErrorClass.PERMANENT)
    place.die(create_only, ErrorClass.PERMANENT)
    for name in ("name", "other"):
        place.arrive(place.put(name, "2", overwrite=True))
    assert state(place, older) is State.SUPERSEDED
    assert not place.spool.layout.blob(older).exists()
    assert state(place, create_only) is State.DEAD


def test_retries_that_are_due_and_fresh_uploads_share_the_places(place: Place) -> None:
    """Neither keeps the other waiting; a clock that was set back makes nothing wait for hours."""
    uploads = [place.put(f"{number}", "x") for number in range(8)]
    for upload_id in uploads[:4]:
        begin(place, upload_id)
        place.spool.ledger.put_back(place.spool.upload(upload_id).seq, not_before=100.0)
    names = [one.name for one in place.spool.ledger.startable(50.0, 1000.0, 4)]
    assert names == ["4", "5", "6", "7"]
    names = [one.name for one in place.spool.ledger.startable(100.0, 1000.0, 4)]
    assert names == ["0", "1", "4", "5"]
    names = [one.name for one in place.spool.ledger.startable(1.0, 99.0, 4)]
    assert names == ["0", "1", "4", "5"]


def test_a_large_window_has_everything_that_may_start(place: Place) -> None:
    """In enqueue order."""
    for number in range(5):
        place.put(f"{number}", "x")
    assert startable(place) == ["0", "1", "2", "3", "4"]
