"""Find out what the file system below a directory can do, by doing it in a directory of its own."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from uploader.errors import PermanentError
from uploader.store import local_files as files
from uploader.store.probe import Finding, Probed, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 1 << 30


def probe_directory(root: str) -> Probed:
    """Try out what the local store needs; a missing root will be made by the first upload."""
    if not os.path.isdir(root):
        parent = os.path.dirname(root)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if os.path.lexists(root) or not os.path.isdir(parent):
            file = root if os.path.lexists(root) else parent
            return Probed((_refused(f"{file} is not a directory"),))
        if not os.access(parent, os.W_OK):
            return Probed((_refused(f"{root} is not there, and {parent} may not be written to"),))
        detail = f"{root} is not there yet; it is made by the first upload"
        return Probed((Finding("directory", Verdict.OK, detail), _room(parent)))
    try:
        with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=root) as folder:
            return Probed(tuple(_tried(root, folder)))
    except OSError as error:
        return Probed((_refused(f"cannot write to {root}: {error.strerror}"),))


def _tried(root: str, folder: str) -> Iterator[Finding]:
    yield Finding("directory", Verdict.OK, f"{root} can be written to")
    one, two, three = (os.path.join(folder, name) for name in ("one", "two", "three"))
    with open(one, "wb") as file:
        file.write(b"written by uploader check")
        os.fsync(file.fileno())
        kept = files.has_attributes(file.fileno())
    linked = False
    with suppress(OSError):
        os.link(one, two)
        linked = True
    yield _finding("create-only", linked, "hard links", "a name is claimed by a marker file first")
    yield _finding("attributes", kept, "extended attributes", "a retry knows its object by bytes")
    made = False
    with suppress(OSError):
        os.symlink("one", three)
        made = True
    yield _finding("symlinks", made, "symbolic links", "use --symlink-mode pointer")
    yield _room(root)


def _finding(what: str, works: bool, by: str, otherwise: str) -> Finding:
    if works:
        return Finding(what, Verdict.OK, f"by {by}")
    return Finding(what, Verdict.WARNING, f"the file system has no {by}", otherwise)


def _room(directory: str) -> Finding:
    facts = os.statvfs(directory)
    free = facts.f_bavail * facts.f_frsize
    if free < GIB:
        return Finding("room", Verdict.WARNING, f"{free >> 20} MiB are free", "make room")
    return Finding("room", Verdict.OK, f"{free / GIB:.1f} GiB are free")


def _refused(why: str) -> Finding:
    advice = "check its permissions, and whether its file system is mounted"
    return Finding("directory", Verdict.REFUSED, why, advice, PermanentError(f"{why}; {advice}"))
