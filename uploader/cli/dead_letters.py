"""Write dead letters for people: what they died of, and the command that mends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.errors import ErrorClass
from uploader.observe.words import command_text, count_text, in_line, size_text
from uploader.state import State

if TYPE_CHECKING:
    from uploader.model import Status, Upload

SHOWN = 10  #: dead letters listed for one reason; the rest is counted
REASONS = 10  #: reasons listed; a person mends them one after another
LOOKED_AT = 1000  #: dead letters that a page for people is made of
NAMED = 3  #: ids that stand in a command; more are not read, and are taken by `--all`

#: What to do before the command is of use, by what the uploads died of.
_FIRST: dict[ErrorClass | None, str] = {
    ErrorClass.PERMANENT: "when the cause is gone",
    ErrorClass.CONFLICT: "when nothing has the name at the destination any more",
    ErrorClass.TRANSIENT: "when the destination answers again",
    ErrorClass.THROTTLED: "when the destination answers again",
}


def dead_lines(status: Status) -> list[str]:
    """Return the dead letters by reason, with what mends them; nothing if there are none."""
    total = status.counts[State.DEAD]
    if not total or not status.dead:
        return []
    groups = _by_reason(status.dead)
    whole = len(status.dead) == total
    size = size_text(status.bytes_dead)
    lines = [f"{count_text(total, 'dead letter')}; the bytes ({size}) are kept in the spool:"]
    for group in groups[:REASONS]:
        lines += _group_lines(status.spool, group, alone=whole and len(groups) == 1)
    if len(groups) > REASONS or not whole:
        every = command_text("ls", status.spool, "--state", "dead")
        lines.append(f"  … and more, for other reasons perhaps; all of them: {every}")
    mendable = any(group[0].error_class is not ErrorClass.DAMAGED for group in groups)
    if mendable and not status.agent_pid:  # an agent would see to it by itself
        lines.append(f"  then upload them: {command_text('drain', status.spool)}")
    return lines


def _by_reason(dead: tuple[Upload, ...]) -> list[list[Upload]]:
    """Return them by what they died of, the most frequent first."""
    groups: dict[tuple[ErrorClass | None, str], list[Upload]] = {}
    for one in dead:
        groups.setdefault((one.error_class, _reason(one)), []).append(one)
    return sorted(groups.values(), key=len, reverse=True)


def _reason(upload: Upload) -> str:
    """Return why an upload died, without what is its own: its name and its id."""
    error = in_line(upload.error or "?")
    for own, stands_for in (
        (upload.id, "ID"),
        (upload.target or "", "TARGET"),
        (upload.name, "NAME"),
    ):
        error = error.replace(own, stands_for) if own else error
    return error


def _group_lines(spool: str, group: list[Upload], *, alone: bool) -> list[str]:
    first = group[0]
    kind = first.error_class.value if first.error_class else "?"
    if len(group) == 1:
        lines = [f"  {first.id}  {first.name}: {in_line(first.error or '?')} ({kind})"]
    else:
        lines = [f"  {len(group):,} times: {_reason(first)} ({kind})"]
        lines += [f"    {one.id}  {one.name}" for one in group[:SHOWN]]
    if len(group) > SHOWN:
        every = command_text("ls", spool, "--state", "dead")
        lines.append(f"    … and {len(group) - SHOWN:,} more: {every}")
    return lines + [f"      {line}" for line in _what_mends(spool, group, alone=alone)]


def _what_mends(spool: str, group: list[Upload], *, alone: bool) -> list[str]:
    ids = [one.id for one in group[:NAMED]]
    more = "" if len(group) <= NAMED else "  (and the other ids)"
    give_up = command_text("cancel", spool, *ids) + more
    if group[0].error_class is ErrorClass.DAMAGED:
        replacing = ["--overwrite"] if group[0].overwrite else []
        again = command_text("put", spool, "FILE", group[0].name, *replacing)
        return [
            f"no retry mends it: put the artifact again from where it came from: {again}",
            f"then give this one up: {give_up}",
        ]
    named = ["--all"] if alone or len(group) > NAMED else ids
    all_of_them = "  (tries every dead letter again)" if named == ["--all"] and not alone else ""
    first = _FIRST.get(group[0].error_class, "when the cause is gone")
    return [
        f"{first}: {command_text('retry', spool, *named)}{all_of_them}",
        f"to give up: {give_up}",
    ]
