"""Spool one file that is complete, and say what became of it.

- A file that is known as it is now is left alone. One whose content is as it was, and only its
  times or its inode are not, is known as it is now; nothing is spooled.
- One that changed is spooled again as a new version with `overwrite`, else told, once.
- One that changed, and has another name by now, is another artifact: a run has written into the
  directory of the run before it.
"""

from __future__ import annotations

import logging
import os
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from uploader.checksum import crc32c
from uploader.errors import SourceChangedError, SpoolFullError
from uploader.model import POINTER_SUFFIX
from uploader.spool import staging
from uploader.spool.items import Logged
from uploader.spool.watched import KnownFileError
from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.model import Upload
    from uploader.spool.spool import Spool
    from uploader.spool.watched import Known
    from uploader.watch.naming import Naming
    from uploader.watch.tree import Facts, Tree

CHUNK = 1 << 20  #: bytes read at a time to compare content

_log = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of a file that was complete."""

    SPOOLED = "spooled"
    KNOWN = "known"  #: nothing to do
    CHANGING = "changing"  #: written to while it was copied: complete later
    REFUSED = "refused"  #: it is not spooled as it is; the log says why, and what to do


@dataclass(frozen=True)
class Intake:
    """How files become artifacts."""

    spool: Spool
    tree: Tree
    naming: Naming
    overwrite: bool
    run: str
    rank: int
    tell: Callable[[str], None]  #: gets the id of each upload
    told: set[str] = field(default_factory=set)  #: paths of which it was said that they changed

    def take(self, path: str, descriptor: int, facts: Facts) -> Outcome:
        """Spool the file that was opened from `path`, unless it is known.

        Raises:
            SpoolFullError: no room now; nothing has happened.
            OSError: it could not be read, or copied; nothing has happened.
            SpoolError: the spool cannot be used.
        """
        known = self.known([path]).get(path)
        if known is None:
            return self._put(path, descriptor, facts, overwrite=self.overwrite)
        if known.mark == facts.mark:
            return Outcome.KNOWN
        if self._has_another_name(path, known):
            return self._put(path, descriptor, facts, overwrite=self.overwrite)
        if self._is_as_it_was(path, known, descriptor, facts):
            self.spool.watched.remark(self.tree.whole(path), facts.mark)
            return Outcome.KNOWN
        if self.overwrite:
            return self._put(path, descriptor, facts, overwrite=True)
        self._tell_of_change(path)
        return Outcome.REFUSED

    def known(self, paths: list[str]) -> dict[str, Known]:
        """Return what the spool knows of those of the paths that it knows."""
        whole = {self.tree.whole(path): path for path in paths}
        return {whole[key]: known for key, known in self.spool.watched.known(whole).items()}

    def _put(self, path: str, descriptor: int, facts: Facts, *, overwrite: bool) -> Outcome:
        shown = self.tree.shown(path)
        try:
            name = self.naming.of(path)
            source = staging.Source(shown, descriptor, facts.size, facts.mtime_ns)
            note = partial(self.spool.watched.note, self.tree.whole(path), facts.mark)
            logged = Logged(name, overwrite, self.run, self.rank, note)
            upload_id = self.spool.put_source(logged, source)
        except KnownFileError:
            return Outcome.KNOWN
        except SourceChangedError:
            return Outcome.CHANGING
        except SpoolFullError as error:
            limit = self.spool.capacity.max_bytes
            if limit is None or facts.size <= limit:
                raise
            _log.error("not spooled: %s", error)
            return Outcome.REFUSED
        except (ValueError, FileExistsError) as error:
            _log.error("not spooled: %s: %s", shown, error)
            return Outcome.REFUSED
        _log.info("spooled %s as %s (%d bytes): %s", shown, name, facts.size, upload_id)
        self.tell(upload_id)
        return Outcome.SPOOLED

    def _tell_of_change(self, path: str) -> None:
        if path in self.told:
            return
        self.told.add(path)
        put = ["uploader", "put", "--spool", str(self.spool.path), "--overwrite"]
        _log.warning(
            "%s changed after it was spooled, and is left as it was then; for each new version, "
            "watch with --overwrite; for this one: %s",
            self.tree.shown(path),
            shlex.join([*put, os.path.join(self.tree.root, path), self.naming.of(path)]),
        )

    def _has_another_name(self, path: str, known: Known) -> bool:
        """Tell whether a file was spooled under another name than it would get now."""
        with suppress(KeyError):
            return self.spool.upload(known.upload).name != self._name_of(path)
        return False

    def _name_of(self, path: str) -> str:
        """Return what the artifact of a file is called in the spool."""
        return self.naming.of(path).lstrip("/").removesuffix(POINTER_SUFFIX)

    def _is_as_it_was(self, path: str, known: Known, descriptor: int, facts: Facts) -> bool:
        """Tell whether a file's content is that of its upload, or of the newest one of its name.

        The newest may be another: a person put it, as the log advised.
        """
        sums = {
            upload.crc32c
            for upload in self._uploads(path, known)
            if upload.size == facts.size and upload.state not in (State.CANCELLED, State.DEAD)
        } - {None}
        return bool(sums) and _crc32c_of(descriptor) in sums

    def _uploads(self, path: str, known: Known) -> Iterator[Upload]:
        with suppress(KeyError):
            yield self.spool.upload(known.upload)
        yield from islice(self.spool.ledger.versions(self._name_of(path)), 1)


def _crc32c_of(descriptor: int) -> int:
    value = offset = 0
    while data := os.pread(descriptor, CHUNK, offset):
        value = crc32c(data, value)
        offset += len(data)
    return value
