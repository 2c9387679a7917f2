"""Compare what the destination holds with what was uploaded.

For each artifact name the newest upload that arrived is looked at; older versions were replaced,
and pending or dead ones make no claim about the destination.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from uploader.checksum import crc32c
from uploader.errors import NotFoundError, PermanentError
from uploader.model import Kind
from uploader.policy import try_in_step
from uploader.store import alias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.model import Upload
    from uploader.spool.spool import Spool
    from uploader.store.base import ObjectInfo, ObjectStore

MISSING = "missing"  #: nothing has the name
REPLACED = "replaced"  #: an object that is not this upload's has the name
SIZE = "size"
CHECKSUM = "checksum"
TARGET = "target"  #: a symlink points elsewhere, or to nothing
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one artifact."""

    id: str
    name: str
    kind: str
    problem: str  #: one of the constants above; for programs
    detail: str  #: for people

    def as_json(self) -> dict[str, Any]:
        """Return the form that `verify --json` shows."""
        return asdict(self)


@dataclass(frozen=True)
class Verified:
    """What a verification found."""

    checked: int  #: artifact names
    problems: tuple[Problem, ...]


def verify_spool(
    spool: Spool,
    store: ObjectStore,
    *,
    deep: bool = False,
    name_glob: str = "*",
    on_checked: Callable[[str], None] = lambda name: None,  # noqa: ARG005
) -> Verified:
    """Compare the store with the spool's receipts.

    Args:
        spool: whose uploads are checked.
        store: of its destination.
        deep: read every byte back and take its CRC32C, instead of asking the store for its own.
        name_glob: only names that match.
        on_checked: called after each name.

    Raises:
        StoreError: the store cannot be asked at all (unreachable, no credentials).
    """
    problems: list[Problem] = []
    sequence = spool.ledger.current_done(name_glob)
    for seq in sequence:
        upload = spool.ledger.upload(seq)
        problems += [
            Problem(upload.id, upload.name, upload.kind.value, problem, detail)
            for problem, detail in _problems(store, upload, deep=deep)
        ]
        on_checked(upload.name)
    return Verified(len(sequence), tuple(problems))


def _problems(store: ObjectStore, upload: Upload, *, deep: bool) -> Iterator[tuple[str, str]]:
    looks = _symlink_problems if upload.kind is Kind.SYMLINK else _file_problems
    try:
        yield from looks(store, upload, deep)
    except NotFoundError:
        yield MISSING, "nothing at the destination has the name"
    except PermanentError as error:
        yield UNREADABLE, str(error)


def _file_problems(store: ObjectStore, upload: Upload, deep: bool) -> Iterator[tuple[str, str]]:
    info = try_in_step(lambda: store.head(upload.name))
    if info.target is not None:
        yield REPLACED, f"a symlink to {info.target} has the name"
    elif info.upload_id not in (None, upload.id):
        yield REPLACED, f"the object is of another upload, {info.upload_id or 'not one of ours'}"
    elif info.size != upload.size:
        yield SIZE, f"the object has {info.size} bytes, {upload.size} were uploaded"
    else:
        yield from _checksum_problems(store, upload.name, info.crc32c, upload.crc32c, deep)


def _symlink_problems(store: ObjectStore, upload: Upload, deep: bool) -> Iterator[tuple[str, str]]:
    found = _own_link(store, upload)
    if isinstance(found, str):
        if found != upload.target:
            yield TARGET, f"it points to {found}, and was logged to point to {upload.target}"
            return
    elif found.upload_id not in (None, upload.id):
        yield REPLACED, f"the object is of another upload, {found.upload_id or 'not one of ours'}"
    else:  # a copy
        yield from _checksum_problems(store, upload.name, found.crc32c, found.crc32c, deep)
        return
    try:
        try_in_step(lambda: alias.resolve(store, upload.name))
    except NotFoundError:  # its text names the pointer that was tried last, which confuses
        yield TARGET, f"it leads nowhere: {upload.target} is not at the destination"
    except PermanentError as error:
        yield TARGET, f"it leads nowhere: {error}"


def _own_link(store: ObjectStore, upload: Upload) -> str | ObjectInfo:
    """Return what a symlink points to, or the object where it is a copy."""
    try:
        info = try_in_step(lambda: store.head(upload.name))
    except NotFoundError:
        return try_in_step(lambda: alias.pointer_target(store, upload.name))
    return info if info.target is None else info.target


def _checksum_problems(
    store: ObjectStore, name: str, reported: int | None, expected: int | None, deep: bool
) -> Iterator[tuple[str, str]]:
    if expected is None:
        return
    value = try_in_step(lambda: _read_back(store, name)) if deep else reported
    if value is not None and value != expected:
        yield CHECKSUM, f"its CRC32C is {value:08x}, that of the artifact was {expected:08x}"


def _read_back(store: ObjectStore, name: str) -> int:
    value = 0
    for chunk in store.read(name):
        value = crc32c(chunk, value)
    return value
