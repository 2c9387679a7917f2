"""Define what travels between the rooms: names, uploads, parts, receipts, status.

Plain immutable data and the rules for names; no input or output here.
"""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from uploader.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uploader.errors import ErrorClass

MAX_NAME_BYTES = 1024  #: bytes of UTF-8; the limit of S3 and of Google Cloud Storage
ID_LENGTH = 32  #: hex digits of an upload id
POINTER_SUFFIX = ".symlink"  #: of the object that stands for a symlink, as Composer reads it


class Kind(str, Enum):
    """What an upload makes at the destination."""

    FILE = "file"
    SYMLINK = "symlink"


class PutMode(str, Enum):
    """Whether an existing object of the name may be replaced."""

    CREATE = "create"
    OVERWRITE = "overwrite"

    @classmethod
    def of(cls, overwrite: bool) -> PutMode:
        """Return the mode that the flag `overwrite` of the interface stands for."""
        return cls.OVERWRITE if overwrite else cls.CREATE


class SymlinkMode(str, Enum):
    """What form a symlink takes at the destination."""

    POINTER = "pointer"  #: an object `<name>.symlink` whose text is the target's full name
    COPY = "copy"  #: a copy of the target, made by the store, under the name
    NATIVE = "native"  #: a real symbolic link (local store)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the store said about the finished object."""

    etag: str  #: the store's own version mark (ETag, generation, inode and mtime)
    size: int  #: bytes
    crc32c: int | None  #: None where the store keeps none (a symlink)
    time: float  #: seconds since the epoch at which the store had it
    version: str | None = None  #: version id or generation, where the store keeps versions

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return {
            "etag": self.etag,
            "size": self.size,
            "crc32c": self.crc32c,
            "time": self.time,
            "version": self.version,
        }

    def __reduce__(self) -> tuple[type[Receipt], tuple[Any, ...]]:
        """Travel from a worker as plain fields: a fifth of what a dataclass with slots takes."""
        return Receipt, (self.etag, self.size, self.crc32c, self.time, self.version)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a large file: what one step sends."""

    number: int  #: from 1
    offset: int  #: bytes
    size: int  #: bytes


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store has, with the mark it gave."""

    number: int
    size: int  #: bytes
    mark: str  #: ETag or the store's like


@dataclass(frozen=True, slots=True)
class Upload:
    """One row of the ledger: one artifact version, or one symlink."""

    seq: int  #: enqueue order over the whole spool
    id: str
    kind: Kind
    name: str
    target: str | None
    overwrite: bool
    size: int | None  #: bytes; None for a symlink
    crc32c: int | None  #: None for a symlink, and for a clone that was not read yet
    source_mtime: float | None
    run: str
    rank: int
    state: State
    waiting_on: int | None  #: the `seq` that must end first
    not_before: float  #: seconds since the epoch; 0: at once
    attempts: int  #: ended attempts that count against `max_attempts`
    error_class: ErrorClass | None
    error: str | None
    enqueued_at: float
    finished_at: float | None
    session: str | None = field(
        repr=False
    )  #: the store's name for an upload in parts; may be secret
    part_size: int | None  #: bytes; set while it goes in parts
    receipt: Receipt | None
    cancel_requested: bool

    @property
    def mode(self) -> PutMode:
        """Whether the upload may replace an existing object."""
        return PutMode.of(self.overwrite)

    @property
    def parts_total(self) -> int:
        """In how many parts it goes."""
        return max(1, -(-(self.size or 0) // self.part_size)) if self.part_size else 1

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `ls --json` promises."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "name": self.name,
            "target": self.target,
            "overwrite": self.overwrite,
            "size": self.size,
            "crc32c": _hex(self.crc32c),
            "state": self.state.value,
            "attempts": self.attempts,
            "not_before": self.not_before,
            "error_class": self.error_class.value if self.error_class else None,
            "error": self.error,
            "enqueued_at": self.enqueued_at,
            "finished_at": self.finished_at,
            "receipt": self._receipt_as_json(),
        }

    def _receipt_as_json(self) -> dict[str, Any] | None:
        if self.receipt is None:
            return None
        return self.receipt.as_json() | {"crc32c": _hex(self.receipt.crc32c)}


def _hex(crc32c: int | None) -> str | None:
    return None if crc32c is None else f"{crc32c:08x}"


def about(upload: Upload, **facts: object) -> dict[str, dict[str, object]]:
    """Return what a log line says of an upload beside its words: the `extra` of a logging call.

    The facts are `error_class`, `bytes`, `seconds` and the like; those that are None are left out.
    """
    known = {key: value for key, value in facts.items() if value is not None}
    return {
        "upload": {
            "upload_id": upload.id, "name": upload.name, "attempt": upload.attempts + 1, **known,
        }
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class InFlight:
    """The progress of an upload that is under way."""

    id: str
    name: str
    size: int  #: bytes
    sent: int  #: bytes that the store has
    parts_done: int
    parts_total: int
    attempt: int  #: from 1


@dataclass(frozen=True, slots=True)
class AgeGroup:
    """What has waited for less than `below` seconds, and for longer than the group before it."""

    below: float  #: seconds
    uploads: int
    size: int  #: bytes
    exact: bool = True  #: else its share of the groups together, whose sum is exact


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits, and for what."""

    ages: tuple[AgeGroup, ...]
    held: int  #: uploads that wait for an earlier version of their name, or for their target
    retries: int  #: uploads that failed, and wait for their next attempt
    counted_to: int  #: a count of so many means: at least
    next_retries: tuple[Upload, ...]  #: those that are due first


@dataclass(frozen=True, slots=True)
class Status:
    """What `uploader status` shows."""

    spool: str
    destination: str
    counts: dict[State, int]  #: over the spool's life; reaped rows included
    bytes_pending: int
    bytes_sent: int  #: in parts that have arrived, of what has yet to end
    bytes_done: int
    oldest_ready_age: float | None  #: seconds
    throughput: float  #: bytes per second, over the last seconds of work
    agent_pid: int | None
    agent_workers: int | None
    in_flight: tuple[InFlight, ...]
    dead: tuple[Upload, ...]
    refusal: str | None = None  #: why the destination does not let the agent write, and what to do
    bytes_dead: int = 0
    speeds: Mapping[str, float] = field(default_factory=dict)  #: bytes per second, by upload id

    @property
    def pending(self) -> int:
        """How many uploads have yet to end."""
        return self.counts[State.READY] + self.counts[State.ACTIVE]

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `status --json` promises."""
        agent = {"pid": self.agent_pid, "workers": self.agent_workers}
        return {
            "spool": self.spool,
            "destination": self.destination,
            "counts": {state.value: self.counts[state] for state in State},
            "bytes": {
                "pending": self.bytes_pending,
                "sent": self.bytes_sent,
                "done": self.bytes_done,
            },
            "oldest_ready_age_seconds": self.oldest_ready_age,
            "throughput_bytes_per_second": self.throughput,
            "agent": agent if self.agent_pid else None,
            "in_flight": [asdict(one) for one in self.in_flight],
            "dead": [
                {
                    "id": one.id,
                    "name": one.name,
                    "error_class": one.error_class.value if one.error_class else None,
                    "error": one.error,
                }
                for one in self.dead
            ],
        }


def check_name(name: str) -> str:
    """Return an artifact name as it will stand at the destination, or raise `ValueError`.

    A leading `/` is stripped first, as Composer does. The message says which rule was broken.
    """
    if not isinstance(name, str):
        msg = f"an artifact name must be a str, not {type(name).__name__}"  # type: ignore[unreachable]  # untyped callers
        raise TypeError(msg)
    stripped = name.lstrip("/")
    fault = _fault(stripped)
    if fault:
        msg = f"bad artifact name {name[:80]!r}: it {fault}"
        raise ValueError(msg)
    return stripped


def check_link(existing_name: str, name: str) -> tuple[str, str]:
    """Return target and name of a symlink, both checked as by `check_name`."""
    target, link = check_name(existing_name), check_name(name)
    if link.endswith(POINTER_SUFFIX):
        msg = f"bad symlink name {link!r}: leave out {POINTER_SUFFIX!r}, it is added where needed"
        raise ValueError(msg)
    if target == link:
        msg = f"a symlink cannot point to itself: {link!r}"
        raise ValueError(msg)
    return target, link


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate); decode the file name first"
    if len(encoded) > MAX_NAME_BYTES:
        return f"has {len(encoded)} bytes of UTF-8; at most {MAX_NAME_BYTES} are allowed"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "contains a control character"
    return _fault_of_segments(name.split("/"))


def _fault_of_segments(segments: list[str]) -> str | None:
    if ".." in segments:
        return "contains '..', which could leave the destination"
    if "" in segments or "." in segments:
        return "has an empty or '.' segment, which stores read in different ways"
    return None
