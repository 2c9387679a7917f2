"""Wait until what was spooled has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader import clock
from uploader.cli import render
from uploader.errors import UploadFailedError
from uploader.observe.log import say
from uploader.spool.ownership import agent_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uploader.spool.spool import Spool

NAMED = 3  #: failures that the error names; `uploader status` has all


def wait_for(spool: Spool, upload_ids: Sequence[str], timeout: float | None) -> None:
    """Wait until these uploads have ended, for at most `timeout` seconds in all.

    It waits for whoever uploads from this spool; if nobody does now, it says how to begin.

    Raises:
        UploadFailedError: one ended dead or cancelled.
        TimeoutError: one has yet to end.
    """
    if upload_ids and agent_owner(spool.path) is None:
        how = render.command_text("drain", spool.path)
        say(f"uploader: nobody uploads from this spool now; in another shell: {how}")
    deadline = None if timeout is None else clock.monotonic() + timeout
    failed = []
    for upload_id in upload_ids:
        left = None if deadline is None else max(0.0, deadline - clock.monotonic())
        try:
            spool.wait(upload_id, left)
        except UploadFailedError as error:
            failed.append(str(error))
        except TimeoutError as error:
            raise TimeoutError(_still_waiting(spool, upload_id, timeout)) from error
    if failed:
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        raise UploadFailedError("; ".join(failed[:NAMED]) + more)


def _still_waiting(spool: Spool, upload_id: str, timeout: float | None) -> str:
    upload = spool.upload(upload_id)
    how = render.command_text("status", spool.path)
    return (
        f"{upload.name} is still {upload.state.value} after {timeout:g} s; it is safe in the "
        f"spool, see: {how}"
    )
