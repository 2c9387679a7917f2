"""Name the steps that a worker can be asked for, and what it answers.

A step is the smallest thing that is done, or lost, as a whole. Steps carry all they need, so that
workers keep no state; each may be done again, by another worker, after a crash at any point. A
session may be a secret: the text of no step shows it, nor that of an answer.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from uploader import checksum
from uploader.model import PutMode, SymlinkMode
from uploader.policy import TRIES_IN_STEP
from uploader.store import alias
from uploader.store.body import CHUNK, open_blob

if TYPE_CHECKING:
    from uploader.errors import ErrorClass
    from uploader.model import Part, Receipt, SentPart
    from uploader.place import Capabilities
    from uploader.store.base import ObjectMeta, ObjectStore
    from uploader.store.body import Body

TIME_LIMIT = 300.0  #: seconds that any step may take, and
COPY_LIMIT = 6 * 3600.0  #: seconds for a copy inside the store, which may be of 5 TiB
SLOWEST = 256 << 10  #: bytes per second below which a transfer counts as stuck


class Step(Protocol):
    """One request to a worker."""

    def perform(self, store: ObjectStore) -> Any:
        """Do it; a `StoreError` says what went wrong."""

    @property
    def size(self) -> int:
        """How many bytes it moves."""


class _Small:
    """A step that moves no bytes to speak of."""

    @property
    def size(self) -> int:
        return 0


@dataclass(frozen=True)
class Prepare(_Small):
    """Find out whether the destination lets us write."""

    first: bool

    def perform(self, store: ObjectStore) -> Capabilities | None:
        """Raise what it refuses with; return what it was found to honour, if that is news."""
        return store.prepare(first=self.first)


@dataclass(frozen=True)
class TakeChecksum:
    """Read a clone, which nobody has read yet, before its first byte is sent."""

    path: str
    size: int  #: bytes

    def perform(self, store: ObjectStore) -> checksum.BlockChecksums:
        """Return the checksums of its blocks."""
        del store
        sums = checksum.BlockChecksums(self.size)
        descriptor = open_blob(self.path)
        try:
            while data := os.read(descriptor, CHUNK):
                sums.update(data)
        finally:
            os.close(descriptor)
        return sums


@dataclass(frozen=True)
class PutWhole:
    """Send a file in one request."""

    name: str
    body: Body
    mode: PutMode
    meta: ObjectMeta

    @property
    def size(self) -> int:
        """How many bytes it moves."""
        return self.body.size

    def perform(self, store: ObjectStore) -> Receipt:
        """Return the store's receipt."""
        alias.refuse_other_form(store, self.name, self.mode, symlink=False)
        receipt = store.put(self.name, self.body, self.mode, self.meta)
        alias.drop_other_form(store, self.name, self.mode, symlink=False)
        return receipt


@dataclass(frozen=True)
class Begin(_Small):
    """Open a session for a file sent in parts."""

    name: str
    mode: PutMode
    meta: ObjectMeta

    def perform(self, store: ObjectStore) -> str:
        """Return the session."""
        alias.refuse_other_form(store, self.name, self.mode, symlink=False)
        return store.begin(self.name, self.mode, self.meta)


@dataclass(frozen=True)
class Reconcile(_Small):
    """Ask the store which parts it has, when a session is taken up again."""

    name: str
    session: str = field(repr=False)
    recorded: list[SentPart]

    def perform(self, store: ObjectStore) -> list[SentPart]:
        """Return the parts that it has."""
        return store.sent_parts(self.name, self.session, self.recorded)


@dataclass(frozen=True)
class PutPart:
    """Send one part."""

    name: str
    session: str = field(repr=False)
    part: Part
    body: Body

    @property
    def size(self) -> int:
        """How many bytes it moves."""
        return self.body.size

    def perform(self, store: ObjectStore) -> SentPart:
        """Return the store's mark for the part."""
        return store.put_part(self.name, self.session, self.part, self.body)


@dataclass(frozen=True)
class Complete(_Small):
    """Make the object of all parts visible."""

    name: str
    session: str = field(repr=False)
    parts: list[SentPart]
    mode: PutMode
    meta: ObjectMeta
    whole: Body

    def perform(self, store: ObjectStore) -> Receipt:
        """Return the store's receipt."""
        receipt = store.complete(
            self.name, self.session, self.parts, self.mode, self.meta, whole=self.whole
        )
        alias.drop_other_form(store, self.name, self.mode, symlink=False)
        return receipt


@dataclass(frozen=True)
class Tidy(_Small):
    """Remove what an upload that will not be completed may have left at the store."""

    name: str
    session: str | None = field(repr=False)
    upload_id: str

    def perform(self, store: ObjectStore) -> None:
        """Return when it is gone."""
        store.abort(self.name, self.session, self.upload_id)


@dataclass(frozen=True)
class Link(_Small):
    """Make a symlink."""

    target: str
    name: str
    mode: PutMode
    form: SymlinkMode | None
    meta: ObjectMeta

    def perform(self, store: ObjectStore) -> Receipt:
        """Return the store's receipt."""
        form = self.form or store.symlink_modes[0]
        return alias.link(store, self.target, self.name, self.mode, form=form, meta=self.meta)


@dataclass(frozen=True)
class PutReport:
    """Replace what is told at the destination of a node."""

    name: str
    body: Body
    meta: ObjectMeta

    @property
    def size(self) -> int:
        """How many bytes it moves."""
        return self.body.size

    def perform(self, store: ObjectStore) -> None:
        """Return when it is there."""
        store.put(self.name, self.body, PutMode.OVERWRITE, self.meta)


@dataclass(frozen=True)
class Batch:
    """Several small steps for one worker: one message, and one commit, for all of them.

    Blobs of uploads that have ended are removed beside them: where each removal waits for the disk
    (ext4 with `discard`: 0.3 ms) that time is the worker's, which waits for the service anyway.
    """

    steps: tuple[Step, ...]
    unneeded: tuple[str, ...] = ()  #: paths of blobs whose uploads have ended, committed

    @property
    def in_question(self) -> list[str]:
        """The names for which the steps would ask the store one by one."""
        return [
            alias.other_form(step.name, symlink=False)
            for step in self.steps
            if isinstance(step, PutWhole)
        ]

    @property
    def size(self) -> int:
        """How many bytes they move."""
        return sum(step.size for step in self.steps)


@dataclass(frozen=True)
class Failure:
    """Why a step was not done."""

    error_class: ErrorClass
    error: str
    session_lost: bool = False
    trace: str | None = None  #: of an error that no store should raise


@dataclass(frozen=True)
class Answer:
    """What became of a step: its value, or why there is none."""

    value: Any = field(default=None, repr=False)  #: of `Begin` a session
    failure: Failure | None = None
    untried: bool = False  #: it was one of a batch, whose rest had to be left
    seconds: float = 0.0  #: that the worker was busy


def answers_in(answer: Answer, count: int) -> list[Answer]:
    """Return the answer to each of the `count` steps that went to a worker together."""
    if count == 1 or answer.failure:  # the worker was lost, and all of them with it
        return [answer] * count
    return list(answer.value)


def time_limit(step: Step | Batch, share: float = math.inf) -> float:
    """Return the seconds after which a step counts as stuck.

    `share` is what a limit leaves to each worker when all are busy, in bytes per second. A step
    waits for it with every try, and that is no fault of the step.
    """
    if isinstance(step, Batch):
        return sum(time_limit(one, share) for one in step.steps)
    copies = isinstance(step, Link) and step.form is SymlinkMode.COPY
    patience = COPY_LIMIT if copies else TIME_LIMIT
    return patience + step.size / SLOWEST + TRIES_IN_STEP * step.size / share
