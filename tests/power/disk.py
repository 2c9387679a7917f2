"""Says what a disk holds for certain, and what a power loss may take, after each recorded call.

The rules, stricter than any one file system is:

- What was written to a file is certain once that file was fsynced; until then each sector of it
  is there or not, in any combination, and so is a new size.
- A name (made, renamed, removed) is certain once its directory was fsynced; until then each change
  is there or not, by itself. An fsync of the file says nothing of its name. A rename is one change:
  never half of it, and certain when either of its two directories was fsynced.
- Below a directory whose own name is lost nothing can be reached.
- What was there when the recording began is certain.
- SQLite's shared memory (`-shm`) is not kept: it is in memory, and made anew by who comes first.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from os.path import dirname
from typing import TYPE_CHECKING, Any

from tests.power.tracing import Deed, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

DIRECTORY = 0  #: the node of every directory: one is as good as another
GONE = -1  #: the node of a name that leads nowhere

_ID = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"/[0-9a-f]{2}$")


@dataclass(frozen=True)
class Change:
    """What was done to a file and is not certain."""

    kind: Kind  #: WRITE, TRUNCATE, EXTEND or ATTRIBUTE
    offset: int
    data: bytes = b""
    key: str = ""


@dataclass(frozen=True, eq=False)
class Naming:
    """What was done to names and is not certain."""

    made: str | None  #: the name that now leads to `node`
    node: int
    gone: str | None  #: the name that now leads nowhere
    directories: frozenset[str]  #: any of them, when fsynced, makes it certain


@dataclass(frozen=True)
class File:
    """A file: its certain bytes and attributes, and what was done since."""

    certain: bytes = b""
    attributes: dict[str, bytes] = field(default_factory=dict)
    pending: tuple[Change, ...] = ()

    def settled(self) -> File:
        """Return it after an fsync."""
        return self if not self.pending else File(*applied(self, self.pending))


@dataclass(frozen=True)
class Moment:
    """What is known of the disk right after one call."""

    at: int  #: how many calls were made
    directories: frozenset[str]  #: certain
    names: dict[str, int]  #: of files, certain: path -> node
    namings: tuple[Naming, ...]
    files: dict[int, File]
    marks: tuple[dict[str, Any], ...]
    next: Deed | None  #: what came after it


def applied(file: File, changes: Sequence[Change]) -> tuple[bytes, dict[str, bytes]]:
    """Return bytes and attributes of a file after some of its changes, in order."""
    content, attributes = bytearray(file.certain), dict(file.attributes)
    for one in changes:
        end = one.offset + len(one.data)
        if one.kind is Kind.ATTRIBUTE:
            attributes[one.key] = one.data
        elif one.kind is Kind.TRUNCATE:
            del content[one.offset :]
        if one.kind is not Kind.ATTRIBUTE and len(content) < end:
            content.extend(bytes(end - len(content)))
        if one.kind is Kind.WRITE:
            content[one.offset : end] = one.data
    return bytes(content), attributes


def label(deed: Deed, base: str) -> str:
    """Name an fsync: where in the product it is called (or `sqlite`), and on what."""
    what = _BUCKET.sub("/xx", _ID.sub("<id>", deed.path.removeprefix(base).lstrip("/")))
    return f"{deed.other or 'sqlite'} {what or '.'}"


def moments(
    deeds: Sequence[Deed], base: str, there: Collection[str], without: str = ""
) -> Iterator[Moment]:
    """Yield what is known before the first call, and after each.

    Args:
        deeds: what was recorded.
        base: the directory below which it was.
        there: directories that were in it from the beginning.
        without: the label of an fsync that is taken not to be made.
    """
    disk = _Disk(base, there)
    yield disk.moment(0, deeds[0])
    for at, deed in enumerate(deeds, start=1):
        if not (deed.kind is Kind.SYNC and label(deed, base) == without):
            disk.take(deed)
        yield disk.moment(at, deeds[at] if at < len(deeds) else None)


class _Disk:
    def __init__(self, base: str, there: Collection[str]) -> None:
        self._directories = frozenset([base, *there])
        self._names: dict[str, int] = {}
        self._namings: tuple[Naming, ...] = ()
        self._files: dict[int, File] = {}
        self._links: dict[int, str] = {}
        self._node_of: dict[int, int] = {}  #: by inode; the number of an inode comes again
        self._marks: tuple[dict[str, Any], ...] = ()

    def moment(self, at: int, following: Deed | None) -> Moment:
        return Moment(
            at,
            self._directories,
            dict(self._names),
            self._namings,
            dict(self._files),
            self._marks,
            following,
        )

    def take(self, deed: Deed) -> None:
        if deed.kind is Kind.MARK:
            self._marks = (*self._marks, json.loads(deed.data))
        elif deed.path.endswith("-shm"):
            return
        elif deed.kind is Kind.SYNC:
            self._sync(deed)
        elif deed.kind in (Kind.WRITE, Kind.TRUNCATE, Kind.EXTEND, Kind.ATTRIBUTE):
            self._change(deed)
        else:
            self._name(deed)

    def _sync(self, deed: Deed) -> None:
        node = self._node_of.get(deed.inode)
        if node is not None:
            self._files[node] = self._files[node].settled()
            return
        certain = _with_earlier(self._namings, deed.path)
        self._directories, self._names = renamed(self._directories, self._names, certain)
        self._namings = tuple(one for one in self._namings if one not in certain)

    def _change(self, deed: Deed) -> None:
        node = self._node_of[deed.inode]
        file = self._files[node]
        change = Change(deed.kind, deed.offset, deed.data, deed.other)
        self._files[node] = File(file.certain, file.attributes, (*file.pending, change))

    def _name(self, deed: Deed) -> None:
        made, gone, node = deed.path, None, DIRECTORY
        if deed.kind in (Kind.CREATE, Kind.SYMLINK):
            node = self._new(deed)
        elif deed.kind in (Kind.RENAME, Kind.LINK):
            node = self._node_of[deed.inode]
            made, gone = deed.other, deed.path if deed.kind is Kind.RENAME else None
        elif deed.kind in (Kind.UNLINK, Kind.RMDIR):
            made, gone = "", deed.path
            node = DIRECTORY if deed.kind is Kind.RMDIR else GONE
        directories = frozenset(dirname(path) for path in (made, gone) if path)
        self._namings = (*self._namings, Naming(made or None, node, gone, directories))

    def _new(self, deed: Deed) -> int:
        node = len(self._files) + 1
        self._files[node] = File()
        self._node_of[deed.inode] = node
        if deed.kind is Kind.SYMLINK:  # its text is made with it
            self._files[node] = File(deed.data, {LINK: b""})
        return node


LINK = "symlink"  #: the attribute of a symlink


def _with_earlier(namings: Sequence[Naming], directory: str) -> list[Naming]:
    """Return the changes that an fsync of a directory makes certain, in order.

    With a change of a name go the earlier ones of that name: after a rename out of a directory that
    was not fsynced, the name that it took away does not come back.
    """
    certain: list[Naming] = []
    touched: set[str | None] = set()
    for one in reversed(namings):
        if directory in one.directories or touched & {one.made, one.gone}:
            certain.append(one)
            touched |= {one.made, one.gone} - {None}
    return certain[::-1]


def renamed(
    directories: frozenset[str], names: dict[str, int], namings: Sequence[Naming]
) -> tuple[frozenset[str], dict[str, int]]:
    """Return the names of directories, and those of files, after some changes, in order."""
    after = dict(names)
    for one in namings:
        if one.node == DIRECTORY:
            directories = directories - {one.gone} | ({one.made} if one.made else frozenset())
            continue
        if one.gone:
            after.pop(one.gone, None)
        if one.made:
            after[one.made] = one.node
    return directories, after
