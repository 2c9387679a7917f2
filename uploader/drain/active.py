"""Follow one upload from its start to its end: which step comes next, and what its answers mean.

Knows nothing of processes or databases. The supervisor asks `next_step` while there are free
workers, tells `answered`, and asks `outcome` once `settled`.

    file     [TakeChecksum]  PutWhole
    large    [TakeChecksum]  [Begin or Reconcile]   PutPart …   Complete
    symlink  Link

What an upload that is given up has left at the store is tidied later, by the supervisor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uploader import checksum, clock
from uploader.checksum import BlockChecksums
from uploader.drain import plan, steps
from uploader.model import Kind, Receipt, SentPart
from uploader.spool.items import checksum_fields
from uploader.store.base import IN_ORDER, ObjectMeta
from uploader.store.body import Body

if TYPE_CHECKING:
    from uploader.config import Options
    from uploader.drain.steps import Answer, Failure, Step
    from uploader.model import Part, Upload
    from uploader.store.base import Limits


def goes_in_parts(upload: Upload, limits: Limits, options: Options) -> bool:
    """Tell whether an upload goes in parts: it is large, or was begun so."""
    return upload.kind is Kind.FILE and (
        upload.session is not None
        or not plan.goes_whole(upload.size or 0, limits, options.part_size)
    )


def goes_to_all(upload: Upload, limits: Limits, options: Options) -> bool:
    """Tell whether several workers can send parts of an upload at once."""
    if upload.session is not None:
        return not upload.session.startswith(IN_ORDER)
    return goes_in_parts(upload, limits, options) and (upload.size or 0) >= limits.in_order_below


def step_size(upload: Upload, limits: Limits, options: Options) -> int:
    """Return the bytes of the largest step of an upload."""
    size = upload.size or 0
    if not goes_in_parts(upload, limits, options):
        return size
    return upload.part_size or plan.part_size_for(size, limits, options.part_size)


@dataclass
class ActiveUpload:
    """An upload that has steps in flight, or soon will."""

    upload: Upload
    item: dict[str, Any]  #: the journal's form, with the checksums of its blocks
    blob: str  #: path of its bytes
    limits: Limits
    options: Options
    sent: list[SentPart] = field(default_factory=list)

    in_flight: int = 0
    failure: Failure | None = None
    receipt: Receipt | None = None
    cancelling: bool = False
    session: str | None = None
    progressed: bool = False  #: whether a part of it has arrived in this attempt
    begun: float = field(default_factory=clock.monotonic)  #: monotonic seconds

    def __post_init__(self) -> None:
        """Take up a recorded session."""
        self.session = self.upload.session
        self._part_size = self.upload.part_size
        self._todo: deque[Part] = deque()
        self._cut = False  #: whether `_todo` was made
        self._waits_alone = False  #: a step is in flight that nothing may go beside

    @property
    def settled(self) -> bool:
        """Whether it has come to an end, for this attempt."""
        ended = self.receipt is not None or self.failure is not None or self.cancelling
        return ended and not self.in_flight

    @property
    def seconds(self) -> float:
        """How long this attempt has taken."""
        return round(clock.monotonic() - self.begun, 3)

    @property
    def is_large(self) -> bool:
        """Whether it goes in parts."""
        return self.session is not None or goes_in_parts(self.upload, self.limits, self.options)

    @property
    def goes_to_all(self) -> bool:
        """Whether several workers can send parts of it at once."""
        if self.session is not None:
            return not self.session.startswith(IN_ORDER)
        return goes_to_all(self.upload, self.limits, self.options)

    @property
    def has_part_ready(self) -> bool:
        """Whether the next step is a part: of these, several may be in flight, or a single one."""
        ready = self._cut and self._todo and not self.failure and not self.cancelling
        return bool(ready and (self.goes_to_all or not self.in_flight))

    def next_step(self) -> Step | None:
        """Return the next step to hand out; None if it must wait for an answer, or is settled."""
        if self._waits_alone or self.receipt or self.failure or self.cancelling:
            return None
        if self.has_part_ready:
            return self._next_part()
        if self.in_flight:
            return None
        return self._alone(self._lone_step())

    def answered(self, step: Step, answer: Answer) -> None:
        """Take the answer to a step."""
        self.in_flight -= 1
        if not isinstance(step, steps.PutPart):
            self._waits_alone = False
        if answer.untried:
            return
        if answer.failure:
            if isinstance(step, steps.PutPart):
                self._todo.appendleft(step.part)
            self.failure = self.failure or answer.failure
            if answer.failure.session_lost:
                self.session = None
        else:
            self._take(step, answer.value)

    # -- steps ----------------------------------------------------------------------------------

    def _lone_step(self) -> Step:
        upload = self.upload
        if upload.kind is Kind.SYMLINK:
            assert upload.target is not None  # noqa: S101  the schema's CHECK
            return steps.Link(
                upload.target, upload.name, upload.mode, self.options.symlink_mode, self._meta()
            )
        if "blocks" not in self.item:
            return steps.TakeChecksum(self.blob, upload.size or 0)
        if not self.is_large:
            return steps.PutWhole(upload.name, self._whole(), upload.mode, self._meta())
        if self.session is None:
            return steps.Begin(upload.name, upload.mode, self._meta())
        if not self._cut and not self._has_all_parts:
            return steps.Reconcile(upload.name, self.session, self.sent)
        return steps.Complete(
            upload.name,
            self.session,
            sorted(self.sent, key=lambda part: part.number),
            upload.mode,
            self._meta(),
            self._whole(),
        )

    @property
    def _has_all_parts(self) -> bool:
        """Whether all parts are recorded, so that the object may be there, and its session gone.

        A store that is asked for the session then knows of none, and all would be sent again; one
        that is asked to complete it finds the object to be ours.
        """
        parts = plan.parts_of(self.upload.size or 0, self.part_size)
        return [(part.number, part.size) for part in parts] == sorted(
            (part.number, part.size) for part in self.sent
        )

    def _next_part(self) -> Step:
        part = self._todo.popleft()
        assert self.session is not None  # noqa: S101  parts are cut only within a session
        blocks = checksum.unpack(self.item["blocks"])
        value = plan.checksum_of(part, blocks, self.item["block"])
        self.in_flight += 1
        return steps.PutPart(
            self.upload.name, self.session, part, Body(self.blob, part.offset, part.size, value)
        )

    def _alone(self, step: Step) -> Step:
        self._waits_alone = True
        self.in_flight += 1
        return step

    # -- answers --------------------------------------------------------------------------------

    def _take(self, step: Step, value: Any) -> None:
        if isinstance(value, Receipt):
            self.receipt = value
        elif isinstance(value, BlockChecksums):
            self.item |= checksum_fields(value)
        elif isinstance(value, SentPart):
            self.sent.append(value)
            self.progressed = True
        elif isinstance(step, steps.Begin):
            self.session = value
            self._part_size = plan.part_size_for(
                self.upload.size or 0, self.limits, self.options.part_size
            )
            self.sent = []
            self._cut_rest()
        elif isinstance(step, steps.Reconcile):
            self.sent = value
            self._cut_rest()

    def _cut_rest(self) -> None:
        """List the parts that the store does not have yet, or not as they are cut here."""
        parts = plan.parts_of(self.upload.size or 0, self.part_size)
        wanted = {(part.number, part.size) for part in parts}
        self.sent = [part for part in self.sent if (part.number, part.size) in wanted]
        have = {part.number for part in self.sent}
        self._todo = deque(part for part in parts if part.number not in have)
        self._cut = True

    @property
    def part_size(self) -> int:
        """Bytes per part, fixed with the session."""
        assert self._part_size is not None  # noqa: S101  set with the session
        return self._part_size

    def _whole(self) -> Body:
        return Body(self.blob, 0, self.upload.size or 0, self.item["crc32c"])

    def _meta(self) -> ObjectMeta:
        upload = self.upload
        return ObjectMeta(
            upload_id=upload.id,
            size=upload.size or 0,
            crc32c=self.item.get("crc32c"),
            source_mtime=upload.source_mtime,
            run=upload.run,
            rank=upload.rank,
        )
