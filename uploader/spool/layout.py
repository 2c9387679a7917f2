"""Lay out a spool directory: paths, modes, locks, and where one may not be.

    SPOOL/                0700
      spool.db            SQLite (and its -wal and -shm)
      blobs/ab/<id>       payloads, 0600, immutable once renamed here
      staging/<id>        a copy in progress; the copier holds an flock on it
      init.lock           held while a database is made or migrated
      supervisor.lock     held by the supervisor and by each of its workers
      producers.lock      held, shared, by each open producer: the agent stays while one lives
      agent.log

- All of `blobs/` is made at once, so that an enqueue never has to sync a directory that another
  process has made but not yet synced.
- SQLite's write-ahead log needs shared memory between processes: one machine, a local disk.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.errors import NotASpoolError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

#: File systems that several machines can mount: on them SQLite's WAL loses data or never locks.
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "lustre",
        "gpfs",
        "beegfs",
        "beegfs_nodev",
        "ceph",
        "glusterfs",
        "9p",
        "afs",
        "orangefs",
        "pvfs2",
        "wekafs",
        "panfs",
        "ocfs2",
        "gfs2",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.mount-s3",
        "fuse.blobfuse2",
        "fuse.beegfs",
        "fuse.cephfs",
    ]
)


class Layout:
    """The paths in one spool."""

    def __init__(self, root: Path) -> None:
        """Name the paths below `root`; nothing is touched."""
        self.root = root
        self.database = root / "spool.db"
        self.blobs = root / "blobs"
        self._blobs = str(self.blobs)
        self.staging = root / "staging"
        self.agent_log = root / "agent.log"
        self.init_lock = root / "init.lock"
        self.supervisor_lock = root / "supervisor.lock"
        self.producers_lock = root / "producers.lock"

    def blob(self, upload_id: str) -> Path:
        """Return where an upload's bytes are once it is committed."""
        return Path(self.blob_path(upload_id))

    def blob_path(self, upload_id: str) -> str:
        """Return the same as text, which costs a tenth."""
        return f"{self._blobs}/{upload_id[-2:]}/{upload_id}"

    def staged(self, upload_id: str) -> Path:
        """Return where an upload's bytes are while they are copied."""
        return self.staging / upload_id

    def make(self) -> None:
        """Make the directories, durably; again is harmless.

        Raises:
            SpoolError: the place is unfit (a network file system, not empty, someone else's).
        """
        self.root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._refuse_foreign()
        refuse_network_file_system(self.root)
        # A umask may have taken too much; an old mode may have left too much.
        self.root.chmod(DIRECTORY_MODE)
        for directory in (self.staging, self.blobs, *self._buckets()):
            if not directory.is_dir():
                directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)  # other ranks make it as well
                directory.chmod(DIRECTORY_MODE)
        for directory in (self.blobs, self.root, self.root.parent):
            sync_directory(directory)

    def require(self) -> None:
        """Raise `NotASpoolError` or `SpoolError` unless this is a spool that we may open."""
        if not self.database.is_file():
            msg = (
                f"not a spool: {self.root} (no {self.database.name} in it). To make one: "
                f"uploader init --spool {self.root} --destination URL"
            )
            raise NotASpoolError(msg)
        self._refuse_foreign_owner()

    def _buckets(self) -> Iterator[Path]:
        return (self.blobs / f"{number:02x}" for number in range(256))

    def _refuse_foreign(self) -> None:
        ours = {"blobs", "staging", "init.lock", "supervisor.lock", "producers.lock", "agent.log"}
        names = {entry.name for entry in self.root.iterdir()}
        strangers = sorted(name for name in names - ours if not name.startswith(self.database.name))
        if strangers and not self.database.exists():
            msg = f"{self.root} is not empty ({strangers[0]!r} is there); name an empty directory"
            raise NotASpoolError(msg)
        self._refuse_foreign_owner()

    def _refuse_foreign_owner(self) -> None:
        owner = self.root.stat().st_uid
        if owner != os.geteuid():
            msg = (
                f"spool {self.root} belongs to user id {owner}, this process runs as "
                f"{os.geteuid()}: run as its owner, or use a spool of your own"
            )
            raise SpoolError(msg)


def refuse_network_file_system(path: Path) -> None:
    """Raise `SpoolError`, naming the file system, where a spool would not be safe."""
    kind = file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS:
        msg = (
            f"{path} is on a network file system ({kind}), where SQLite's log is not safe; "
            "put the spool on a local disk of this node"
        )
        raise SpoolError(msg)


def file_system_of(path: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """Return the type of the file system that holds `path`; empty where the system does not say.

    Source: proc(5), mountinfo: field 3 is major:minor, the type follows the separator `-`.
    """
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return ""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """Open a lock file (made if absent) and return its descriptor; nothing is locked yet."""
    return open_private(path, os.O_RDWR | os.O_CREAT)


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file of the spool, never through a symlink; its owner alone may read and write it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)  # a umask may have taken too much
    return descriptor


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock if it is free at once; tell whether it was."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it as long as it takes."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
