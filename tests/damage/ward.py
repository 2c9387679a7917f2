"""Keep uploads that something happened to, each in its way, and let one drain meet them all."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from uploader import Spool, Upload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.damage.harms import Harm

TIME_LIMIT = 50  #: seconds for the drain of them all
CONTENT = b"as it was logged"
PART = 1 << 20  #: bytes; what is larger goes in parts


class Ward:
    """A spool with a local destination, and what became of its uploads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.path = folder / "spool"
        self.ids: dict[str, str] = {}
        self.left: dict[str, object] = {}  #: what lay in place of a blob before the drain
        self.report: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.said = ""
        with self.spool(self.remote.as_uri(), options={"part_size": PART}):
            pass

    def spool(self, *arguments: Any, **more: Any) -> Spool:
        """Open the spool."""
        return Spool(self.path, *arguments, producer=False, **more)

    def admit(self, name: str, content: bytes = CONTENT) -> str:
        """Spool a file; return its id."""
        source = self.folder / "source"
        source.write_bytes(content)
        with self.spool() as spool:
            self.ids[name] = spool.put_file(name, source)
        return self.ids[name]

    def link(self, target: str, name: str) -> str:
        """Spool a symlink; return its id."""
        with self.spool() as spool:
            self.ids[name] = spool.put_symlink(target, name)
        return self.ids[name]

    def blob(self, name: str) -> Path:
        """Return where an upload's bytes are."""
        upload_id = self.ids[name]
        return self.path / "blobs" / upload_id[-2:] / upload_id

    def harm(self, name: str, do: Callable[[Path], object]) -> None:
        """Do something to an upload's blob, and note what lies there then."""
        do(self.blob(name))
        self.left[name] = lying_at(self.blob(name))

    def suffer(self, harm: Harm, name: str) -> None:
        """Change an upload's rows by hand."""
        with closing(sqlite3.connect(self.path / "spool.db")) as hand, hand:
            hand.execute("PRAGMA ignore_check_constraints = ON")
            changed = hand.execute(harm.statement, (*harm.values, self.ids[name])).rowcount
        assert changed == 1, harm

    def drain(self) -> None:
        """Run the real command, once for all."""
        command = [sys.executable, "-m", "uploader", "drain", "--json", "--spool", str(self.path)]
        ended = subprocess.run(
            [*command, "--workers", "2", "--timeout", f"{TIME_LIMIT - 10}"],
            env={key: value for key, value in os.environ.items() if "UPLOADER" not in key},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        self.exit_code, self.said = ended.returncode, ended.stderr
        self.report = json.loads(ended.stdout) if ended.stdout else {}

    def upload(self, name: str) -> Upload:
        """Return what became of an upload; its id may have been edited, its place was not."""
        with self.spool() as spool:
            return spool.ledger.upload(list(self.ids).index(name) + 1)


def lying_at(path: Path) -> object:
    """Return what a path is, and its bytes."""
    if path.is_symlink():
        return "symlink", os.readlink(path)
    if path.is_file():
        return "file", path.read_bytes()
    return path.is_dir(), path.is_fifo(), path.exists()


def strangers(ward: Ward) -> dict[Path, bool]:
    """Return what is not of the spool, in all of its rooms, and whether it is a directory."""
    spool, ours = ward.path, "d" * 32
    return {
        spool / "notes.txt": False,
        spool / "spool.db.bak": False,
        spool / "staging" / "README": False,
        spool / "staging" / "old" / "copies": True,
        spool / "staging" / ours: True,
        spool / "blobs" / "README": False,
        spool / "blobs" / ours[:31]: False,
        spool / "blobs" / "zz": True,
        spool / "blobs" / "cd" / "x.txt": False,
        spool / "blobs" / "cd" / ours.upper(): False,
    }
