"""Read rows of the database, and find those that are not as they were written.

The columns are those of the statement `columns` in `queries.sql`.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from uploader import checksum
from uploader.errors import ErrorClass
from uploader.model import Kind, Receipt, Upload, check_link, check_name
from uploader.spool.layout import is_id
from uploader.state import State

#: What reading a value can raise that is not what was written.
UNREADABLE = (
    ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, struct.error,
)  # fmt: skip

MAX_ERROR = 4000  #: characters of an error's text that are kept

_NUMBER, _NONE = (int, float), type(None)

#: The columns, and the types of what is in them: SQLite itself takes anything anywhere.
_COLUMNS: dict[str, type | tuple[type, ...]] = {
    "seq": int, "id": str, "kind": str, "name": str, "target": (str, _NONE), "overwrite": int,
    "size": (int, _NONE), "crc32c": (int, _NONE), "source_mtime": (*_NUMBER, _NONE), "run": str,
    "rank": int, "state": str, "waiting_on": (int, _NONE), "not_before": _NUMBER, "attempts": int,
    "error_class": (str, _NONE), "error": (str, _NONE), "enqueued_at": _NUMBER,
    "finished_at": (*_NUMBER, _NONE), "session": (str, _NONE), "part_size": (int, _NONE),
    "receipt": (str, _NONE), "cancel_requested": int,
}  # fmt: skip
_KINDS = tuple(_COLUMNS.values())


def upload_in(row: tuple[Any, ...]) -> Upload:
    """Return what a row of `upload` says; of one that is damaged, what can be read."""
    try:
        return _read(row)
    except UNREADABLE as error:
        return _as_far_as_readable(row, row_damaged(f"{type(error).__name__}: {error!s:.200}"))


def fault(upload: Upload, item: Any) -> str | None:
    """Say in what an upload's row and its journal's item are not as they were written.

    They say the same twice: what was changed in one of them shows. None if there is nothing.
    """
    how = _fault(upload, item)
    return None if how is None else row_damaged(how)


def row_damaged(how: str) -> str:
    """Return the error of an upload whose row is not as it was written; it says what to do."""
    return (
        f"its row in the spool's database is damaged: {how}. It was not sent; log the artifact "
        "again, then `uploader cancel` this upload"
    )


def storable(error: str | None) -> str | None:
    """Return an error as it is stored: not without end, and in UTF-8, which a path may not be."""
    return error and error[:MAX_ERROR].encode("utf-8", "backslashreplace").decode()


def _fault(upload: Upload, item: Any) -> str | None:
    if not isinstance(item, dict):
        return "the journal's item is gone, or is no JSON object"
    said = {
        "id": upload.id,
        "kind": upload.kind.value,
        "name": upload.name,
        "target": upload.target,
        "overwrite": int(upload.overwrite),
        "size": upload.size,
    }
    other = [key for key, value in said.items() if item.get(key) != value]
    if other:
        return f"row and journal do not agree on its {', '.join(other)}"
    if not is_id(upload.id):
        return f"no id of an upload: {upload.id!r:.80}"
    try:
        if upload.kind is Kind.SYMLINK:
            check_link(str(upload.target), upload.name)
        else:
            check_name(upload.name)
            _check_checksums(upload, item)
    except UNREADABLE as error:
        return f"{type(error).__name__}: {error!s:.200}"
    return None


def _check_checksums(upload: Upload, item: dict[str, Any]) -> None:
    size, part_size = upload.size, upload.part_size
    if not isinstance(size, int) or size < 0:
        msg = f"size {size!r:.80}"
        raise ValueError(msg)
    block = checksum.block_size(size)
    if upload.session is not None and not _fits(part_size, block):
        msg = f"part_size {part_size!r:.80}"
        raise ValueError(msg)
    if upload.crc32c is None and "blocks" not in item:
        return  # of a clone, which nobody has read yet
    blocks = checksum.unpack(item["blocks"])
    if item["block"] != block or len(blocks) != -(-size // block):
        msg = "the checksums are not those of a file of its size"
        raise ValueError(msg)
    if not isinstance(upload.crc32c, int) or item["crc32c"] != upload.crc32c:
        msg = "row and journal do not agree on its checksum"
        raise ValueError(msg)


def _fits(part_size: int | None, block: int) -> bool:
    return isinstance(part_size, int) and part_size > 0 and part_size % block == 0


def _as_far_as_readable(row: tuple[Any, ...], error: str) -> Upload:
    """Return a row that is damaged, without what it would need to be sent."""
    seq, id_, _, name, *_ = row
    known = {state.value: state for state in State}
    return Upload(
        seq=seq, id=str(id_), kind=Kind.FILE, name=str(name), target=None, overwrite=False,
        size=None, crc32c=None, source_mtime=None, run="", rank=0,
        state=known.get(row[11], State.DEAD), waiting_on=None, not_before=0, attempts=0,
        error_class=ErrorClass.DAMAGED, error=error, enqueued_at=0, finished_at=None, session=None,
        part_size=None, receipt=None, cancel_requested=False,
    )  # fmt: skip


def _read(row: tuple[Any, ...]) -> Upload:
    (seq, id_, kind, name, target, overwrite, size, crc32c, source_mtime, run, rank, state,
     waiting_on, not_before, attempts, error_class, error, enqueued_at, finished_at, session,
     part_size, receipt, cancel_requested) = row  # fmt: skip
    if not all(map(isinstance, row, _KINDS)):  # of every upload: a loop takes twice as long
        columns = zip(_COLUMNS, row, _KINDS, strict=True)
        column, value = next(
            (name, value) for name, value, kinds in columns if not isinstance(value, kinds)
        )
        msg = f"its {column} is {value!r:.80}"
        raise TypeError(msg)
    return Upload(
        seq=seq, id=id_, kind=Kind(kind), name=name, target=target, overwrite=bool(overwrite),
        size=size, crc32c=crc32c, source_mtime=source_mtime, run=run, rank=rank, state=State(state),
        waiting_on=waiting_on, not_before=not_before, attempts=attempts,
        error_class=ErrorClass(error_class) if error_class else None, error=error,
        enqueued_at=enqueued_at, finished_at=finished_at, session=session, part_size=part_size,
        receipt=Receipt(**json.loads(receipt)) if receipt else None,
        cancel_requested=bool(cancel_requested),
    )  # fmt: skip
