"""Runs random histories through the real spool, schedule and local store, beside a plain model.

The model is a list and a dictionary, and says by brute force what the schema's triggers say with
indexes: who is superseded, who waits for whom, what a retry brings along, what is at the
destination in the end. After each action everything that can be seen must be equal.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from uploader import Spool, Upload, clock
from uploader.drain.active import ActiveUpload
from uploader.drain.recorder import Recorder
from uploader.drain.steps import Answer, Failure
from uploader.drain.worker import Worker
from uploader.errors import ErrorClass
from uploader.policy import RetryPolicy
from uploader.spool.recovery import recover
from uploader.store.opening import limits_of

NAMES = st.sampled_from(["a", "b", "c", "d"])
LIVE = ("ready", "active")
FAR = 1e12  #: seconds; a horizon that no retry is beyond


@dataclass
class Row:
    """What the model knows of an upload."""

    seq: int
    id: str
    name: str
    target: str | None
    overwrite: bool
    content: bytes
    state: str = "ready"

    @property
    def live(self) -> bool:
        """Whether it has yet to end."""
        return self.state in LIVE


class SpoolAgainstModel(RuleBasedStateMachine):
    """Random puts, symlinks, uploads, failures, crashes, retries and cancels."""

    @initialize()
    def make(self) -> None:
        """Begin with an empty spool and an empty model."""
        # In memory where that can be had: thousands of fsyncs, and no power is cut here.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.root = self.folder / "destination"
        self.root.mkdir()
        self.spool = Spool(self.folder / "spool", f"file://{self.root}")
        self.worker = Worker(self.spool.place)
        self.recorder = Recorder(self.spool, RetryPolicy())
        self.rows: list[Row] = []
        self.there: dict[str, tuple[str, bytes | str]] = {}  # name -> (upload id, bytes or target)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.spool.close()
        shutil.rmtree(self.folder)

    # -- actions --------------------------------------------------------------------------------

    @rule(name=NAMES, overwrite=st.booleans(), content=st.binary(max_size=3))
    def put(self, name: str, overwrite: bool, content: bytes) -> None:
        """Log a file."""
        source = self.folder / "source"
        source.write_bytes(content)
        if self._refused(name, overwrite):
            with pytest.raises(FileExistsError):
                self.spool.put_file(name, source, overwrite=overwrite)
            return
        upload_id = self.spool.put_file(name, source, overwrite=overwrite)
        self._append(upload_id, name, None, overwrite, content)

    @rule(name=NAMES, existing=NAMES, overwrite=st.booleans())
    def link(self, name: str, existing: str, overwrite: bool) -> None:
        """Log a symlink."""
        if name == existing:
            with pytest.raises(ValueError, match="itself"):
                self.spool.put_symlink(existing, name, overwrite=overwrite)
        elif self._refused(name, overwrite):
            with pytest.raises(FileExistsError):
                self.spool.put_symlink(existing, name, overwrite=overwrite)
        else:
            upload_id = self.spool.put_symlink(existing, name, overwrite=overwrite)
            self._append(upload_id, name, existing, overwrite, b"")

    @precondition(lambda self: self._startable())
    @rule(
        data=st.data(),
        ends=st.sampled_from(["well", "well", "well", "transient", "permanent", "crash"]),
    )
    def upload(self, data: st.DataObject, ends: str) -> None:
        """Start one that may start, and let its attempt end in some way."""
        row = data.draw(st.sampled_from(self._startable()))
        (upload,) = [one for one in self._offered() if one.seq == row.seq]
        ((upload, item),) = self.spool.ledger.start_all([upload])
        row.state = "active"
        if ends == "crash":
            recover(self.spool.layout, self.spool.ledger)
            row.state = "ready"
            return
        self._attempt(ActiveUpload(
            upload, item, str(self.spool.layout.blob(upload.id)),
            limits_of(self.spool.place), self.spool.options,
        ), ends)  # fmt: skip
        if ends == "well":
            self._apply(row)
        else:
            row.state = {"transient": "ready", "permanent": "dead"}[ends]

    @precondition(lambda self: any(row.state == "dead" for row in self.rows))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A person retries one dead letter."""
        row = data.draw(st.sampled_from([row for row in self.rows if row.state == "dead"]))
        self.spool.retry(row.id)
        self._retry(row)

    @precondition(lambda self: any(row.state in ("ready", "dead") for row in self.rows))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A person gives one up."""
        choices = [row for row in self.rows if row.state in ("ready", "dead")]
        row = data.draw(st.sampled_from(choices))
        self.spool.cancel(row.id)
        row.state = "cancelled"

    # -- what must be equal ---------------------------------------------------------------------

    @invariant()
    def states_are_equal(self) -> None:
        """The ledger's state of every upload is the model's."""
        found = {one.seq: one.state.value for one in self.spool.uploads()}
        assert found == {row.seq: row.state for row in self.rows}

    @invariant()
    def what_may_start_is_equal(self) -> None:
        """The schedule offers exactly what nothing goes before."""
        assert [one.seq for one in self._offered()] == [row.seq for row in self._startable()]

    @invariant()
    def the_tally_is_a_count(self) -> None:
        """Counts that are kept equal counts that are made."""
        for state, (uploads, _) in self.spool.ledger.tally().items():
            assert uploads == sum(row.state == state.value for row in self.rows)

    @invariant()
    def the_spool_holds_just_the_bytes_it_needs(self) -> None:
        """There is a blob for each file that is pending or dead, and none else."""
        blobs = {
            path.name for path in (self.folder / "spool" / "blobs").rglob("*") if path.is_file()
        }
        needed = (row for row in self.rows if row.target is None)
        assert blobs == {row.id for row in needed if row.state in (*LIVE, "dead")}

    @invariant()
    def the_destination_is_equal(self) -> None:
        """Every name holds what the history says, and nothing else is there."""
        found = {
            path.name: str(path.readlink()) if path.is_symlink() else path.read_bytes()
            for path in self.root.iterdir()
        }
        assert found == {name: what for name, (_, what) in self.there.items()}

    # -- the model ------------------------------------------------------------------------------

    def _refused(self, name: str, overwrite: bool) -> bool:
        return not overwrite and any(row.live and row.name == name for row in self.rows)

    def _append(
        self, upload_id: str, name: str, target: str | None, overwrite: bool, content: bytes
    ) -> None:
        seq = self.spool.upload(upload_id).seq
        new = Row(seq, upload_id, name, target, overwrite, content)
        self.rows.append(new)
        replaced = [row for row in self.rows if overwrite and self._superseded(row, new)]
        for row in replaced:
            row.state = "superseded"

    def _superseded(self, row: Row, new: Row) -> bool:
        """Nothing of it was sent, and no symlink between it and the next version waits for it."""
        if row.name != new.name or row.state != "ready" or row.seq >= new.seq:
            return False
        versions = [one.seq for one in self.rows if one.live and one.name == row.name]
        following = min(seq for seq in versions if seq > row.seq)
        return not any(
            one.live and one.target == row.name and row.seq < one.seq < following
            for one in self.rows
        )

    def _startable(self) -> list[Row]:
        return [
            row
            for row in self.rows
            if row.state == "ready"
            and not any(
                one.live and one.seq < row.seq and one.name in (row.name, row.target)
                for one in self.rows
            )
        ]

    def _apply(self, row: Row) -> None:
        """An attempt that went well: at the destination, or dead with a reason of its own."""
        what: bytes | str = row.content if row.target is None else row.target
        dangling = row.target is not None and not self._resolves(row.target, row.name)
        taken = not row.overwrite and not self._free_or_own(row, what)
        if dangling or taken:
            row.state = "dead"
        else:
            self.there[row.name] = (row.id, what)
            row.state = "done"
            for older in self.rows:
                if (older.name, older.state, older.overwrite) == (row.name, "dead", True):
                    older.state = "superseded" if older.seq < row.seq else older.state

    def _free_or_own(self, row: Row, what: bytes | str) -> bool:
        held = self.there.get(row.name)
        return held is None or held[0] == row.id or (isinstance(what, str) and held[1] == what)

    def _resolves(self, name: str, link: str) -> bool:
        """Follow symlinks; one that would lead back to the new symlink is a loop."""
        for _ in range(len(self.there) + 1):
            if name == link:
                return False
            held = self.there.get(name)
            if held is None:
                return False
            if isinstance(held[1], bytes):
                return True
            name = held[1]
        return False

    def _retry(self, row: Row) -> None:
        newer = [one for one in self.rows if one.name == row.name and one.seq > row.seq]
        if any(one.live or one.state == "done" for one in newer):
            row.state = "superseded"
            return
        row.state = "ready"
        for one in self.rows:
            if one.state == "dead" and one.target == row.name and one.seq > row.seq:
                self._retry(one)

    # -- the product ----------------------------------------------------------------------------

    def _offered(self) -> list[Upload]:
        return self.spool.ledger.startable(clock.now(), FAR, 1000)

    def _attempt(self, active: ActiveUpload, ends: str) -> None:
        failures = {
            "transient": Failure(ErrorClass.TRANSIENT, "injected"),
            "permanent": Failure(ErrorClass.PERMANENT, "injected"),
        }
        while (step := active.next_step()) is not None:
            failed = failures.get(ends)
            answer = Answer(failure=failed) if failed else self.worker.answer(step)
            with self.recorder.together():
                active.answered(step, answer)
                self.recorder.answer(active, step, answer)
                if active.settled:
                    self.recorder.settle(active)
            self.recorder.remove_unneeded()
        # its back-off is over at once
        self.spool._journal.execute("UPDATE upload SET not_before = 0 WHERE state = 'ready'")


@pytest.mark.timeout(120)
def test_random_histories_equal_the_model() -> None:
    """The spool, the schedule and the local store do what a list and a dictionary say."""
    run_state_machine_as_test(
        SpoolAgainstModel,
        settings=settings(
            max_examples=50,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
