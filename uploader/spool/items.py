"""Write an upload down as the journal holds it; the triggers of `schema.sql` read these keys."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from uploader import checksum
from uploader.model import Kind, check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from uploader.spool.staging import Source, Staged

MAX_POINTER_BYTES = 4096  #: read of a `.symlink` file; a name has at most 1,024


Along: TypeAlias = "Callable[[str], None]"  #: what is to be written with an upload, given its id


@dataclass(frozen=True)
class Logged:
    """What the caller said about an artifact."""

    name: str
    overwrite: bool
    run: str
    rank: int
    along: Along | None = None  #: called in the transaction of the commit

    def item(self, upload_id: str, kind: Kind) -> dict[str, Any]:
        """Return what files and symlinks have in common."""
        return {
            "id": upload_id,
            "kind": kind.value,
            "name": self.name,
            "overwrite": int(self.overwrite),
            "run": self.run,
            "rank": self.rank,
        }


def new_id() -> str:
    """Return an id that nobody else has: 32 hex digits, the first 12 the time in milliseconds.

    Ids that grow with time keep the inserts into their index together, whatever the backlog.
    """
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def file_item(logged: Logged, source: Source, staged: Staged) -> dict[str, Any]:
    """Return the item of a file that is in `blobs/`."""
    item = logged.item(staged.upload_id, Kind.FILE)
    item |= {"size": staged.size, "source_mtime": source.mtime_ns / 1e9}
    return item | (checksum_fields(staged.checksums) if staged.checksums else {})


def symlink_item(logged: Logged, target: str) -> dict[str, Any]:
    """Return the item of a symlink."""
    return logged.item(new_id(), Kind.SYMLINK) | {"target": target}


def checksum_fields(sums: checksum.BlockChecksums) -> dict[str, Any]:
    """Return the keys that a file has once its bytes were read."""
    return {"crc32c": sums.whole, "block": sums.block, "blocks": checksum.pack(sums.blocks)}


def pointer_text(source: Source) -> str:
    """Return the target that a `.symlink` file names; `ValueError` if it names none."""
    try:
        text = os.read(source.descriptor, MAX_POINTER_BYTES)
    except OSError as error:
        raise OSError(error.errno, error.strerror, source.path) from error
    try:
        return check_name(text.decode().strip())
    except UnicodeDecodeError as error:
        msg = f"{source.path} is no symlink's text: it is not UTF-8"
        raise ValueError(msg) from error
