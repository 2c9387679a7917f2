"""Maps artifact names to the names of objects at the destination.

- One mapping for everything: files, symlinks, the symlinks' targets, and fetching. (Composer mapped
  the first two only, so that with any mapping but the plain one its symlinks pointed nowhere.)
- The mapping must come out the same when an artifact is fetched as when it was logged, so it knows
  the run and the process, not the time.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from destination import artifact_name as names

if TYPE_CHECKING:
    import pathlib

#: of a file artifact that stands for a symlink, its text being the target (Composer from v0.8 on)
SYMLINK_SUFFIX = ".symlink"

#: bytes; a name has at most 1,024, the rest leaves room for white space around it
MAX_SYMLINK_TEXT = 4096


class ObjectName:
    """A template such as `{run_name}/{artifact_name}`.

    Raises:
        ValueError: a placeholder that is neither `{artifact_name}` nor one of the run and the
            process, or no `{artifact_name}` at all: every artifact would have the same name.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        known = dict.fromkeys(names.PROCESS, 0) | {"run_name": "run"}
        first, second = (names.fill_name(template, {**known, "artifact_name": x}) for x in "ab")
        if first == second:
            raise ValueError(f"object_name must contain {{artifact_name}}; it is {template!r}")

    def of(self, artifact_name: str, run_name: str | None) -> str:
        """Return the name of the object that the artifact is kept in.

        Raises:
            ValueError: an empty name.
            RuntimeError: the template has `{run_name}` and `run_name` is None.
        """
        stripped = names.strip_leading_slashes(artifact_name)
        values = {"run_name": run_name, **names.process_placeholders(), "artifact_name": stripped}
        return names.fill_name(self.template, values).lstrip("/")


def symlink_target(path: pathlib.Path) -> str:
    """Return the artifact name that a `.symlink` file holds.

    Raises:
        ValueError: the text cannot be a name.
        OSError: no such file, a directory, or nothing that can be read as a file.
    """
    # A FIFO would block in open() until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        text = file.read(MAX_SYMLINK_TEXT + 1)
    if len(text) > MAX_SYMLINK_TEXT:
        raise ValueError(f"{path} is too long to hold the name of an artifact")
    try:
        return text.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} does not hold the name of an artifact: {error}") from error
