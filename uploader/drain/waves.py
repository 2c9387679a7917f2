"""Say in which order work goes out: before a deadline, what can arrive by it first.

A wave is handed out as far as there are free workers; what they leave goes to the next one. Without
a deadline there is a single wave, in the order in which things came.

After SIGTERM only what is of use is handed out: uploads that can arrive in time, and, where a grace
was asked for, parts that can, of others. Without one nothing new is begun but symlinks, which are
one request each: a `latest` goes with the checkpoint that has just arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uploader.drain.active import ActiveUpload, goes_to_all, step_size
from uploader.drain.schedule import SMALL, Outlook, Remains, by_worth
from uploader.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uploader.config import Options
    from uploader.drain.candidates import Candidates
    from uploader.drain.winding_up import LastCall
    from uploader.model import Upload
    from uploader.store.base import Limits


@dataclass
class Wave:
    """What is handed out together."""

    active: list[ActiveUpload] = field(default_factory=list)
    candidates: list[Upload] = field(default_factory=list)

    def add(self, one: ActiveUpload | Upload) -> None:
        """Take one in at the end."""
        if isinstance(one, ActiveUpload):
            self.active.append(one)
        else:
            self.candidates.append(one)


def waves_before(
    outlook: Outlook,
    active: Iterable[ActiveUpload],
    candidates: Candidates,
    cut: tuple[Limits, Options],
    last_call: LastCall | None,
) -> list[Wave]:
    """Return what can arrive in time, and then the rest.

    Args:
        outlook: what can be sent.
        active: the uploads under way.
        candidates: those that may start.
        cut: what decides how an upload is cut into parts.
        last_call: what is done after SIGTERM; None before it.
    """
    in_time, late = Wave(), Wave()
    things: dict[int, ActiveUpload | Upload] = {}
    remains = []
    for one in active:
        if one.is_large or (one.upload.size or 0) > SMALL:
            things[one.upload.seq] = one
            remains.append(_of_active(one))
        elif not one.in_flight:
            in_time.add(one)
    for upload in candidates:
        if last_call is None or last_call.begins or upload.kind is Kind.SYMLINK:
            things[upload.seq] = upload
            remains.append(_of_candidate(upload, candidates.sent(upload), *cut))
    for what, arrives in by_worth(remains, outlook):
        thing = things[what.seq]
        if arrives:
            in_time.add(thing)
        elif last_call is None or (last_call.begins and outlook.covers(what.step, by_all=False)):
            late.add(thing)
    return [in_time, late]


def _of_active(active: ActiveUpload) -> Remains:
    size = active.upload.size or 0
    rest = size - sum(part.size for part in active.sent)
    step = step_size(active.upload, active.limits, active.options)
    return Remains(active.upload.seq, size, rest, step, active.goes_to_all, is_link=False)


def _of_candidate(upload: Upload, sent: int, limits: Limits, options: Options) -> Remains:
    size = upload.size or 0
    return Remains(
        seq=upload.seq,
        size=size,
        rest=max(0, size - sent),
        step=step_size(upload, limits, options),
        spread=goes_to_all(upload, limits, options),
        is_link=upload.kind is Kind.SYMLINK,
    )
