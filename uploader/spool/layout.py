"""Lay out a spool directory: paths, modes, locks, and where one may not be.

    SPOOL/                0700
      spool.db            SQLite (and its -wal and -shm)
      blobs/ab/<id>       payloads, 0600, immutable once renamed here
      staging/<id>        a copy in progress; the copier holds an flock on it
      init.lock           held while a database is made or migrated
      supervisor.lock     held by the supervisor and by each of its workers
      producers.lock      held, shared, by each open producer: the agent stays while one lives
      agent.log           and agent.log.1 to .5, older and older (agent.log.new: one in the making)

- All of `blobs/` is made at once, so that an enqueue never has to sync a directory that another
  process has made but not yet synced.
- SQLite's write-ahead log needs shared memory between processes: one machine, a local disk.
- A spool in which anything is a symlink, or else not of the kind that was made, is not opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from uploader.errors import NotASpoolError, SpoolDamagedError, SpoolError, SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATABASE = "spool.db"
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
OLD_LOGS = ("new", "1", "2", "3", "4", "5")  #: of agent.log: 60 MiB at most, weeks of an agent

_PAYLOAD = re.compile(r"[0-9a-f]{32}")

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
        self.database = root / DATABASE
        self.blobs = root / "blobs"
        self._blobs = str(self.blobs)
        self.staging = root / "staging"
        self.agent_log = root / "agent.log"
        self._old_logs = [f"{self.agent_log}.{suffix}" for suffix in OLD_LOGS]
        self.init_lock = root / "init.lock"
        self.supervisor_lock = root / "supervisor.lock"
        self.producers_lock = root / "producers.lock"

    def blob(self, upload_id: str) -> Path:
        """Return where an upload's bytes are once it is committed."""
        return Path(self.blob_path(upload_id))

    def blob_path(self, upload_id: str) -> str:
        """Return the same as text, which costs a tenth.

        Raises:
            SpoolDamagedError: what stands in the database is no id, and might lead elsewhere.
        """
        if not is_id(upload_id):
            raise SpoolDamagedError(f"no id of an upload: {upload_id!r:.80}; nothing was touched")
        return f"{self._blobs}/{upload_id[-2:]}/{upload_id}"

    def staged(self, upload_id: str) -> Path:
        """Return where an upload's bytes are while they are copied."""
        return self.staging / upload_id

    def make(self) -> None:
        """Make the directories; again is harmless.

        They are durable once there is a database: whoever makes that has synced all of them first,
        also those that another process made and may not have synced yet. Names in the spool's own
        directory are made durable by SQLite, which syncs it with the first commit to a new log.

        Raises:
            SpoolError: the place is unfit (a network file system, not empty, someone else's).
        """
        is_new = not self.database.exists()
        try:
            self.root.mkdir(mode=DIRECTORY_MODE, parents=True)
        except FileExistsError:
            if not self.root.is_dir():
                raise
        else:
            self.root.chmod(DIRECTORY_MODE)  # a umask may have taken what we need to look inside
        self._refuse_foreign()
        refuse_network_file_system(self.root)
        # A umask may have taken too much; an old mode may have left too much.
        self.root.chmod(DIRECTORY_MODE)
        self._refuse_replaced()
        for directory in (self.staging, self.blobs):
            _make_private(directory)
        self._make_buckets(is_new=is_new)
        if is_new:
            self._sync_way()

    def require(self) -> None:
        """Raise `NotASpoolError` or `SpoolError` unless this is a spool that we may open."""
        if self.root.is_dir():
            self._refuse_foreign_owner()  # who may not look inside is told that first
        if not _is_there(self.database):
            msg = (
                f"not a spool: {self.root} (no {self.database.name} in it). To make one: "
                f"uploader init --spool {self.root} --destination URL"
            )
            raise NotASpoolError(msg)
        self._refuse_replaced()

    def require_rooms(self) -> None:
        """Raise `SpoolDamagedError` unless there is room for payloads where it was made."""
        for directory in (self.staging, self.blobs):
            if not directory.is_dir():
                raise _replaced(directory, "missing")
        self._make_buckets()

    def refuse_loss(self) -> None:
        """Raise `SpoolDamagedError` if there are payloads, though there is no database yet.

        None is copied before there is one: it was lost. A new one would know of none of them, and
        the next sweep would remove them.
        """
        found = next((path for path in self.root.glob("*/**/*") if is_id(path.name)), None)
        if found:
            raise SpoolDamagedError(
                f"the spool is damaged: its database {self.database} is gone, or empty, and there "
                f"are artifacts' bytes, as {found}. Nothing was touched; put the database back, or "
                "move the directory away to keep the bytes, and begin a new spool"
            )

    def _sync_way(self) -> None:
        """Make the names of the directories that lead here durable, however many are new."""
        device = self.root.stat().st_dev
        for directory in self.root.parents:
            if directory.stat().st_dev != device:
                return
            try:
                sync_directory(directory)
            except PermissionError:  # one that may be entered but not read cannot be synced alone
                os.sync()
                return

    def _make_buckets(self, *, is_new: bool = False) -> None:
        """Make those of the 256 directories below `blobs/` that are not there, durably.

        Raises:
            SpoolDamagedError: one is no directory: what is moved into it would be elsewhere.
        """
        missing = {f"{number:02x}" for number in range(256)}
        with os.scandir(self.blobs) as entries:
            for entry in entries:
                if entry.name in missing and not entry.is_dir(follow_symlinks=False):
                    raise _replaced(Path(entry.path), "no directory")
                missing.discard(entry.name)
        for name in missing:
            _make_private(self.blobs / name)
        if missing or is_new:
            sync_directory(self.blobs)

    def _refuse_replaced(self) -> None:
        """Raise `SpoolDamagedError` if anything here is not of the kind that was made."""
        logs = (f"{self.database}-wal", f"{self.database}-shm")
        locks = (self.init_lock, self.supervisor_lock, self.producers_lock)
        files: list[str | Path] = [self.database, *logs, *locks, self.agent_log, *self._old_logs]
        for path in files:
            _refuse_other(path, stat.S_ISREG, "no regular file")
        for path in (self.blobs, self.staging):
            _refuse_other(path, stat.S_ISDIR, "no directory")

    def _refuse_foreign(self) -> None:
        ours = {"blobs", "staging", "init.lock", "supervisor.lock", "producers.lock", "agent.log"}
        ours.update(map(os.path.basename, self._old_logs))
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


def is_id(name: object) -> bool:
    """Tell whether a name is one that `items.new_id` can give: nothing that leads elsewhere."""
    return isinstance(name, str) and bool(_PAYLOAD.fullmatch(name))


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
        let_go(descriptor)


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """Return a descriptor by which this process has a file open already; None if there is none."""
    wanted = os.stat(path)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # that of the list itself is closed by now
            if os.path.samestat(os.fstat(descriptor), wanted):
                return descriptor
    return None


def let_go(descriptor: int) -> None:
    """Close a descriptor: on Linux it is closed whatever that answers, and nothing hangs on it.

    What had to be durable was fsynced before; a call that has done its work must not fail now.
    """
    with suppress(OSError):
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """Open a lock file (made if absent) and return its descriptor; nothing is locked yet."""
    return open_private(path, os.O_RDWR | os.O_CREAT)


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file of the spool, never through a symlink; its owner alone may read and write it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)  # a umask may have taken too much
    except BaseException:
        let_go(descriptor)
        raise
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
        let_go(descriptor)


@contextmanager
def room_named(path: Path) -> Iterator[None]:
    """Turn the system's "no space left", which stands for inodes as well, into `SpoolFullError`.

    And where we are not let in, into a `SpoolError` that says so. Any other says at least where.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, SpoolError):
            raise
        where = error.filename or str(path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"no room in the spool: {error}; free space in {path} (df, df -i)"
            raise SpoolFullError(msg) from error
        if isinstance(error, PermissionError) and Path(where).is_relative_to(path):
            msg = f"{where} in the spool: {error.strerror}; check its permissions, and its owner"
            raise SpoolError(msg) from error
        if error.filename:
            raise
        raise OSError(error.errno, error.strerror, where) from error


def _make_private(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)  # other ranks make it as well
        directory.chmod(DIRECTORY_MODE)


def _is_there(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _refuse_other(path: str | Path, fits: Callable[[int], bool], otherwise: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not fits(mode):
        raise _replaced(path, "a symlink" if stat.S_ISLNK(mode) else otherwise)


def _replaced(path: str | Path, how: str) -> SpoolDamagedError:
    return SpoolDamagedError(
        f"the spool is damaged: {path} is {how}. Nothing was touched; put back what was there, or "
        "keep a copy of the whole directory before you remove it"
    )
