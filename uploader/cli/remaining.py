"""Say what remains when an agent leaves, and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.observe.words import command_text, count_text, printable, to_go_text
from uploader.state import LIVE

if TYPE_CHECKING:
    from uploader.model import Status, Upload
    from uploader.spool.spool import Spool

NAMED = 3  #: of the newest uploads that are named


def remaining_text(spool: Spool, status: Status) -> str:
    """Return one line: how many uploads, how much of them, the newest, the command."""
    if not status.pending:
        return "nothing remains to upload"
    size = to_go_text(status.bytes_pending, status.bytes_sent)
    names = [upload.name for upload in _newest(spool)]
    more = f" and {status.pending - len(names)} more" if status.pending > len(names) else ""
    return printable(
        f"{count_text(status.pending, 'upload')} ({size}) to go, the newest: {', '.join(names)}"
        f"{more}; they are kept in the spool. Go on with: {command_text('drain', spool.path)}"
    )


def _newest(spool: Spool) -> list[Upload]:
    found = [
        upload
        for state in LIVE  # one by one: an index has the newest of each
        for upload in spool.ledger.select(
            "WHERE state = ? ORDER BY seq DESC LIMIT ?", (state.value, NAMED)
        )
    ]
    return sorted(found, key=lambda upload: -upload.seq)[:NAMED]
