"""Has calls of the system fail, one by one, on the way into the spool and out of it.

A sample by chance, in each scenario; `UPLOADER_FAILING=all` plays every case, as
`python -m tests.failing.campaign` does, and `UPLOADER_FAILING_SEED` chooses others.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.failing.cases import Player, faults, playing, worth
from tests.failing.draining import SCENARIOS as DRAINING
from tests.failing.enqueuing import SCENARIOS as ENQUEUING
from tests.failing.shim import ALWAYS, SHORT, SOURCE, Fault, Kind
from tests.power.tracing import CannotTraceError, compiled

ALL = os.environ.get("UPLOADER_FAILING") == "all"
SEED = int(os.environ.get("UPLOADER_FAILING_SEED", "1"))
CASES = 10  #: of each scenario


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    """Start the process in which calls fail; only where nobody may install a compiler none can."""
    try:
        compiled(SOURCE)
    except CannotTraceError as error:
        if os.geteuid() == 0:  # then `scripts/tools` has installed it
            raise
        pytest.skip(f"NO CALL FAILED: {error}")
    with playing() as one:
        yield one


@pytest.mark.timeout(0 if ALL else 60)
@pytest.mark.parametrize("scenario", [*ENQUEUING, *DRAINING])
def test_a_call_that_fails_costs_no_artifact(player: Player, scenario: str) -> None:
    """It returns, or raises what is documented; put again it arrives, and nothing is left over."""
    chosen = [fault for fault in faults(player, scenario) if worth(fault)]
    if not ALL:
        chosen = random.Random(SEED).sample(chosen, min(CASES, len(chosen)))
    for fault in chosen:
        outcome = player.play(scenario, fault)
        assert not outcome["wrong"], f"{fault} ({outcome['path']}): {outcome['wrong']}"
    assert len(chosen) > 5


def _play(
    player: Player,
    scenario: str,
    kind: Kind,
    first: int,
    error: int,
    *,
    count: int = 1,
    only: str = "",
) -> dict[str, Any]:
    """Play a case, in which something has to fail, and nothing may be wrong."""
    outcome = player.play(scenario, Fault(kind, first, error, count, only))
    assert outcome["failed"], "no call failed"
    assert not outcome["wrong"], outcome["wrong"]
    return outcome


def test_a_failed_fsync_of_the_copy_is_not_believed(player: Player) -> None:
    """What was written is gone then: the call raises, and the next one copies anew."""
    outcome = _play(player, "put", Kind.SYNC, 1, errno.EIO, only="/staging/")
    assert outcome["error"] == "OSError"
    assert "nothing was spooled" in outcome["words"]
    assert outcome["calls"]["SYNC"] == 1, "it was asked for once more"


def test_a_failed_fsync_of_the_bucket_is_not_believed(player: Player) -> None:
    """The name may be gone after a power loss: no row is committed that names it."""
    outcome = _play(player, "put", Kind.SYNC, 1, errno.EIO, only="/blobs/")
    assert outcome["error"] == "OSError"


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EINTR])
@pytest.mark.parametrize("scenario", ["put", "replace", "link", "checkpoint"])
def test_a_commit_whose_fsync_fails_was_not_made(player: Player, scenario: str, error: int) -> None:
    """The frames that SQLite wrote are gone then; the same handle commits them again, elsewhere."""
    outcome = _play(player, scenario, Kind.SYNC, 1, error, only="-wal")
    assert outcome["error"] in ("SpoolError", "SpoolFullError")
    assert "nothing is lost" in outcome["words"]


def test_a_full_disk_under_the_database_is_a_full_spool(player: Player) -> None:
    """ENOSPC in SQLite's log is the error that a full disk has everywhere; exit code 7."""
    for first in (1, 2, 7):
        outcome = _play(player, "put", Kind.WRITE, first, errno.ENOSPC, count=ALWAYS, only="-wal")
        assert (outcome["error"], outcome["exit_code"]) == ("SpoolFullError", 7)


def test_a_database_that_could_only_be_read_is_opened_again(player: Player) -> None:
    """SQLite opens it so when it can do no better, for want of descriptors; it does not stay so."""
    for scenario in ("reopen", "open"):
        for error in (errno.EMFILE, errno.EIO, errno.EACCES):
            _play(player, scenario, Kind.OPEN, 1, error, only="/spool.db")
            _play(player, scenario, Kind.OPEN, 2, error, only="/spool.db")


def test_too_many_open_files_are_no_damage(player: Player) -> None:
    """A database that cannot be opened for want of descriptors is not called damaged."""
    outcome = _play(player, "open", Kind.OPEN, 1, errno.EMFILE, count=ALWAYS, only="/spool.db")
    assert outcome["error"] in ("OSError", "SpoolError")


def test_a_directory_that_cannot_be_looked_at_is_no_name_that_is_taken(player: Player) -> None:
    """A library makes what it cannot see; that this is there is nothing that a caller expects."""
    for first in range(1, 25):
        assert player.play("logged", Fault(Kind.STAT, first, errno.EMFILE))["wrong"] == []


@pytest.mark.parametrize("only", ["/staging", "/blobs/", "/source", "/spool"])
def test_a_close_that_fails_does_not_take_back_what_was_done(player: Player, only: str) -> None:
    """The row is committed: to raise would have the caller put again what is there."""
    outcome = player.play("put", Fault(Kind.CLOSE, 1, errno.EIO, ALWAYS, only))
    assert not outcome["wrong"]
    assert not outcome["error"]


def test_a_close_that_fails_at_the_destination_leaves_nothing_open(player: Player) -> None:
    """Nor is a descriptor closed twice, which by then may be another thread's."""
    _play(player, "drain", Kind.CLOSE, 6, errno.EIO, count=ALWAYS, only="/there")


def test_a_write_that_comes_back_short_goes_on(player: Player) -> None:
    """The rest is written: half a copy is never renamed into place."""
    outcome = _play(player, "put", Kind.WRITE, 1, SHORT, only="/staging/")
    assert not outcome["error"]


def test_an_interrupted_clone_is_a_copy(player: Player) -> None:
    """An interruption is nobody's error; what was cloned of it is overwritten."""
    assert not _play(player, "put", Kind.CLONE, 1, errno.EINTR)["error"]


def test_a_file_that_cannot_be_removed_costs_nothing_else(player: Player) -> None:
    """The error of the copy is told, not that of the clearing up, and the file is closed."""
    player.play("put")
    outcome = _play(player, "replace", Kind.UNLINK, 1, errno.EIO, count=ALWAYS)
    assert not outcome["error"]


def test_a_part_whose_fsync_failed_is_sent_again(player: Player) -> None:
    """What was written of it is gone: to ask for another fsync would acknowledge zeros."""
    outcome = _play(player, "drain", Kind.SYNC, 3, errno.EIO, only="/there/.uploader-")
    assert outcome["notes"]["ending"] == "empty"


def test_an_object_whose_fsync_failed_is_written_again(player: Player) -> None:
    """It does not get its name before its bytes were synced, all of them, by one fsync."""
    for first in range(1, 8):
        outcome = _play(player, "drain", Kind.SYNC, first, errno.EIO, only="/there")
        assert outcome["notes"]["ending"] == "empty"


def test_a_ledger_that_cannot_be_written_ends_the_drain(player: Player) -> None:
    """Full, or failing: exit code 7, or 6, and the next drain acknowledges what has arrived."""
    full = _play(player, "drain", Kind.WRITE, 30, errno.ENOSPC, count=ALWAYS, only="-wal")
    assert full["exit_code"] == 7
    failing = _play(player, "drain", Kind.SYNC, 4, errno.EIO, count=ALWAYS, only="-wal")
    assert failing["exit_code"] == 6


def test_one_failure_at_the_destination_costs_no_attempt(player: Player) -> None:
    """It is tried again within the step; where it lasts, no upload is dead of it, or done."""
    once = _play(player, "drain", Kind.WRITE, 2, errno.EIO, only="/there/")
    assert once["notes"]["tried again"] == []
    lasting = _play(player, "drain", Kind.WRITE, 1, errno.EIO, count=ALWAYS, only="/there/")
    assert lasting["notes"]["ending"] == "deadline"
    assert lasting["notes"]["dead"] == []
    assert all("Input/output error" in one for one in lasting["notes"]["tried again"])


def test_too_many_open_files_make_no_dead_letter(player: Player) -> None:
    """Neither a blob nor a destination that cannot be opened for it is given up."""
    for only in ("/blobs/", "/there/"):
        outcome = _play(player, "drain", Kind.OPEN, 1, errno.EMFILE, count=ALWAYS, only=only)
        assert outcome["notes"]["dead"] == []
        assert outcome["notes"]["ending"] == "deadline", "taken for a refusal"


def test_a_rate_that_cannot_be_written_ends_no_drain(player: Player) -> None:
    """The lock's text is for those who watch."""
    outcome = _play(
        player, "drain", Kind.WRITE, 2, errno.ENOSPC, count=ALWAYS, only="/supervisor.lock"
    )
    assert (outcome["error"], outcome["notes"]["ending"]) == ("", "empty")
