"""Define what a store is: the contract that the schedule rests on.

Every method may be called again with the same arguments, by another process, after a crash at any
point of the first call: it MUST then do what is left to do and answer as if it were the first.

Errors: a method raises only `StoreError`s, classified here at the edge and nowhere else:
`TransientError`, `ThrottledError`, `AuthError`, `PermanentError`, `NotFoundError`,
`ConflictError`, `DamagedError`, and `SessionLostError` where it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from uploader.model import Part, PutMode, Receipt, SentPart, SymlinkMode
    from uploader.place import Capabilities
    from uploader.store.body import Body
    from uploader.store.probe import Probed

#: How the sessions begin whose parts must come one after another.
IN_ORDER = "in-order:"


@dataclass(frozen=True)
class Limits:
    """What sizes a store takes; known without opening it."""

    whole_max: int  #: bytes up to which a file is sent in one request
    part_min: int  #: bytes; every part but the last has at least this, and is a multiple of 1 MiB
    part_max: int  #: bytes
    parts_max: int  #: parts of one object
    object_max: int  #: bytes of one object
    in_order_below: int = 0  #: bytes; smaller files have parts that go one after another


@dataclass(frozen=True)
class ObjectMeta:
    """What is written beside an object's bytes, and by which a retry knows its own object."""

    upload_id: str
    size: int  #: bytes
    crc32c: int | None  #: of the whole; None for a symlink
    source_mtime: float | None  #: seconds since the epoch
    run: str
    rank: int


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says about an object."""

    name: str
    size: int  #: bytes
    crc32c: int | None  #: as the store knows it; None where it keeps none
    upload_id: str | None  #: of the upload that made it; "" if none of ours; None: not known
    etag: str
    version: str | None = None
    target: str | None = None  #: of a native symlink: the artifact name that it points to


class ObjectStore(Protocol):
    """Hold named objects. Names are artifact names; the store adds its prefix."""

    @property
    def limits(self) -> Limits:
        """What sizes it takes."""

    @property
    def symlink_modes(self) -> tuple[SymlinkMode, ...]:
        """The forms of symlink that it can make; the first is its default."""

    def prepare(self, *, first: bool) -> Capabilities | None:
        """Find out that the destination is there and lets us write; make its root if `first`.

        Returns what the service honours if that depends on the service and was not known yet.

        Raises:
            AuthError, PermanentError: it refuses; the message says what to do.
        """

    def probe(self) -> Probed:
        """Try out everything that uploads need, and remove what was written for it.

        Raises:
            TransientError: the service could not be asked, so nothing was found out.
        """

    def put(self, name: str, body: Body, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """Store a whole object. It MUST become visible complete, or not at all.

        With CREATE the store itself MUST decide between racing writers. An existing object that
        carries `meta.upload_id` is this call's own earlier success.

        Raises:
            ConflictError: CREATE, and another's object has the name.
            DamagedError: the body's bytes are not those of its checksum; nothing is visible.
        """

    def begin(self, name: str, mode: PutMode, meta: ObjectMeta) -> str:
        """Open a session for an object sent in parts; return the store's name for it.

        It begins with `IN_ORDER` if its parts MUST come one after another. It may be a secret: it
        is stored in the spool, and MUST NOT be in any message.

        Raises:
            ConflictError: CREATE, and another's object has the name already.
        """

    def put_part(self, name: str, session: str, part: Part, body: Body) -> SentPart:
        """Store one part, durably; again replaces it. Parts may come in any order and at once.

        (Not in a session that is `IN_ORDER`.)

        Raises:
            SessionLostError: the store does not know the session any more.
            DamagedError: the body's bytes are not those of its checksum.
        """

    def sent_parts(self, name: str, session: str, recorded: list[SentPart]) -> list[SentPart]:
        """Return the parts that the store really has, given what we recorded.

        Raises:
            SessionLostError: the store does not know the session any more.
        """

    def complete(
        self,
        name: str,
        session: str,
        parts: list[SentPart],
        mode: PutMode,
        meta: ObjectMeta,
        *,
        whole: Body,
    ) -> Receipt:
        """Make the object of all its parts visible; as `put` does for CREATE and for repeats.

        `whole` has all bytes, for a store that makes an object by its last ones.

        Raises:
            ConflictError: CREATE, and another's object has the name.
            SessionLostError: the session is gone and the object is not there.
        """

    def abort(self, name: str, session: str | None, upload_id: str) -> None:
        """Remove what an upload that will not be completed has left; what is gone is success.

        `session` is None if none was recorded; unfinished pieces of a `put` are removed too.
        """

    def copy(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """Make `name` a copy of the object `target`, inside the store.

        Raises:
            NotFoundError: there is no `target`.
            ConflictError: CREATE, and another's object has the name.
        """

    def symlink(self, target: str, name: str, mode: PutMode, meta: ObjectMeta) -> Receipt:
        """Make `name` a native symlink to `target`; only where `symlink_modes` has NATIVE.

        Raises:
            ConflictError: CREATE, and something else has the name.
        """

    def absent(self, names: Sequence[str]) -> set[str]:
        """Return names that are not there, as far as a request or two tell; never an error.

        Of a name that is left out nothing is known: `head` tells.
        """

    def head(self, name: str) -> ObjectInfo:
        """Describe an object; a native symlink is described itself, not followed.

        Raises:
            NotFoundError: there is none. A refusal to look MUST NOT be taken for that.
        """

    def read(self, name: str, offset: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from `offset`, in portions of at most a few MiB.

        Raises:
            NotFoundError: there is none.
        """

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is success."""

    def objects(self, prefix: str = "") -> Iterable[ObjectInfo]:
        """Describe every object whose name begins with `prefix`, without unfinished ones."""

    def full_name(self, name: str) -> str:
        """Return the name in the bucket: what a pointer's text is, as Composer reads it."""

    def artifact_name(self, full_name: str) -> str:
        """Return the artifact name of a name in the bucket; `NotFoundError` if it is elsewhere."""

    def sweep(self, keep: set[str], older_than: float) -> list[str]:
        """Remove our unfinished objects that are older than `older_than` seconds.

        Those whose session is in `keep` stay. Returns what was removed, for people to read.
        """

    def close(self) -> None:
        """Let go of connections."""
