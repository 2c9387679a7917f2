"""Apply and follow symlinks on any store, and keep a name's two forms apart.

A name can stand for a file (the object `name`) or for a symlink (the object `name.symlink`, a
pointer, whose text is the target's full object name, as Composer reads it; or a native symlink,
or a copy, which have the name itself).

- The target must be there before the symlink is made visible: promise 5.
- With overwrite the new form is put in place first and the other form is removed after it, so that
  the name always resolves. Without it either form counts as existing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploader.checksum import crc32c
from uploader.errors import ConflictError, NotFoundError, PermanentError
from uploader.model import POINTER_SUFFIX, PutMode, SymlinkMode, check_name
from uploader.store.base import ObjectMeta
from uploader.store.body import Body

if TYPE_CHECKING:
    from uploader.model import Receipt
    from uploader.store.base import ObjectInfo, ObjectStore

MAX_HOPS = 40  #: symlinks followed before a loop is assumed; Linux's own limit
MAX_POINTER_BYTES = 4096  #: read of a pointer's text; a name has at most 1,024


def link(
    store: ObjectStore,
    target: str,
    name: str,
    mode: PutMode,
    *,
    form: SymlinkMode,
    meta: ObjectMeta,
) -> Receipt:
    """Make `name` a symlink to `target`, in the given form.

    Raises:
        PermanentError: the target does not exist, or leads to `name` itself.
        ConflictError: CREATE, and either form of the name exists.
    """
    try:
        way, resolved = _follow(store, target)
    except NotFoundError as error:
        msg = f"target does not exist: {target}; log it, or retry it if it is a dead letter"
        raise PermanentError(msg) from error
    if name in way and form is not SymlinkMode.COPY:  # it would replace what it leads to
        msg = f"{name} -> {target} would form a loop: {' -> '.join(way)}"
        raise PermanentError(msg)
    refuse_other_form(store, name, mode, symlink=form is SymlinkMode.POINTER)
    if form is SymlinkMode.NATIVE:
        receipt = store.symlink(target, name, mode, meta)
    elif form is SymlinkMode.COPY:
        receipt = store.copy(resolved.name, name, mode, meta)
    else:
        receipt = _put_pointer(store, target, name, mode, meta)
    drop_other_form(store, name, mode, symlink=form is SymlinkMode.POINTER)
    return receipt


def refuse_other_form(store: ObjectStore, name: str, mode: PutMode, *, symlink: bool) -> None:
    """Without overwrite: raise `ConflictError` if the name exists in its other form."""
    if mode is PutMode.CREATE and _exists(store, other_form(name, symlink=symlink)):
        msg = f"{other_form(name, symlink=symlink)} already exists, but overwrite was set to False"
        raise ConflictError(msg)


def drop_other_form(store: ObjectStore, name: str, mode: PutMode, *, symlink: bool) -> None:
    """With overwrite: remove what the new form replaces.

    Looked for first: in a versioned bucket the deletion of nothing would leave a marker each time.
    """
    other = other_form(name, symlink=symlink)
    if mode is PutMode.OVERWRITE and _exists(store, other):
        store.delete(other)


def other_form(name: str, *, symlink: bool) -> str:
    """Return what a name is called in the form that it does not have."""
    return name if symlink else name + POINTER_SUFFIX


def resolve(store: ObjectStore, name: str) -> ObjectInfo:
    """Follow symlinks from `name` to the object that holds the bytes.

    Raises:
        NotFoundError: there is no such name, or a symlink points to nothing.
        PermanentError: the symlinks form a loop.
    """
    return _follow(store, name)[1]


def pointer_target(store: ObjectStore, name: str) -> str:
    """Return the artifact name that the pointer object of `name` names; `NotFoundError` if none."""
    text = b""
    for chunk in store.read(name + POINTER_SUFFIX):
        text += chunk
        if len(text) > MAX_POINTER_BYTES:
            break
    try:
        return check_name(store.artifact_name(text[:MAX_POINTER_BYTES].decode().strip()))
    except (ValueError, NotFoundError) as error:
        msg = f"{name}{POINTER_SUFFIX} does not hold an artifact's name: {error}"
        raise PermanentError(msg) from error


def _follow(store: ObjectStore, name: str) -> tuple[list[str], ObjectInfo]:
    """Return every name on the way, `name` first, and the object at its end."""
    way = [name]
    while len(way) <= MAX_HOPS + 1:
        try:
            info = store.head(way[-1])
        except NotFoundError:
            way.append(pointer_target(store, way[-1]))
            continue
        if info.target is None:
            return way, info
        way.append(info.target)
    msg = f"{name}: more than {MAX_HOPS} symlinks in a row; they form a loop"
    raise PermanentError(msg)


def _put_pointer(
    store: ObjectStore, target: str, name: str, mode: PutMode, meta: ObjectMeta
) -> Receipt:
    text = store.full_name(target).encode()
    meta = ObjectMeta(
        meta.upload_id, len(text), crc32c(text), meta.source_mtime, meta.run, meta.rank
    )
    return store.put(name + POINTER_SUFFIX, Body.of_bytes(text), mode, meta)


def _exists(store: ObjectStore, name: str) -> bool:
    try:
        store.head(name)
    except NotFoundError:
        return False
    return True
