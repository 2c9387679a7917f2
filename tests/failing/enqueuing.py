"""Puts artifacts in while calls fail: what has returned must arrive, what has raised can be redone.

A scene prepares what it needs, makes one call under the fault (`act`), makes it again if it has
raised, lets go (`close`), and has another process empty the spool.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from destination import LogLevel, ObjectStoreLogger
from tests.failing.stage import Stage
from uploader import Spool
from uploader.drain.terms import Ending


class Scene:
    """One call of a producer."""

    def __init__(self, stage: Stage) -> None:
        """Prepare."""
        self.stage = stage
        self.spool: Spool | None = None
        self.notes: dict[str, Any] = {}
        self.prepare()

    def prepare(self) -> None:
        """Open the spool, and put what is there before."""
        self.spool = self.stage.opened()

    def act(self) -> None:
        """Make the call."""
        raise NotImplementedError

    def after(self, *, raised: bool) -> list[str]:
        """Make it again, with the cause gone, if it has raised."""
        if raised:
            self.act()
        return []

    def close(self) -> None:
        """Let go of everything."""
        if self.spool:
            self.spool.close()
            self.spool = None

    def wrong(self) -> list[str]:
        """Return what is wrong after another process has emptied the spool."""
        ending = self.stage.drained()
        found = [] if ending is Ending.EMPTY else [f"the drain ended as {ending}"]
        return found + self.stage.wrong()

    def put(self, name: str, data: bytes, *, overwrite: bool = False) -> None:
        """Put a file, and take it as an obligation if that returns."""
        assert self.spool
        path = self.stage.holding(data)
        self.stage.may_hold(name, data)
        self.spool.put_file(name, path, overwrite=overwrite)
        self.stage.owes(name, data)


class Put(Scene):
    """A file, in a spool that is open."""

    def prepare(self) -> None:
        """Open the spool; the file is there."""
        super().prepare()
        self.data = self.stage.next()
        self.path = self.stage.holding(self.data)

    def act(self) -> None:
        """Put it."""
        assert self.spool
        self.stage.may_hold("one.pt", self.data)
        self.spool.put_file("one.pt", self.path)
        self.stage.owes("one.pt", self.data)


class Replace(Put):
    """A newer version, of a name of which one is ready."""

    def prepare(self) -> None:
        """Put the older one."""
        self.spool = self.stage.opened()
        self.put("one.pt", self.stage.next(), overwrite=True)
        self.data = self.stage.next()
        self.path = self.stage.holding(self.data)

    def act(self) -> None:
        """Put the newer one."""
        assert self.spool
        self.stage.may_hold("one.pt", self.data)
        self.spool.put_file("one.pt", self.path, overwrite=True)
        self.stage.owes("one.pt", self.data)


class Empty(Put):
    """A file without a byte."""

    def prepare(self) -> None:
        """Open the spool."""
        super().prepare()
        self.data = b""
        self.path = self.stage.holding(b"")


class Reopen(Put):
    """A file, where the handle was let go of for a fork."""

    def prepare(self) -> None:
        """Open the spool, and fork as far as it is concerned."""
        super().prepare()
        assert self.spool
        self.spool._journal.let_go()
        self.spool._journal.go_on(in_child=False)


class Checkpoint(Put):
    """A file, whose commit has SQLite copy its log into the database."""

    def prepare(self) -> None:
        """Have every commit do so."""
        super().prepare()
        assert self.spool
        self.spool._journal.execute("PRAGMA wal_autocheckpoint=1")
        self.put("earlier.pt", self.stage.next())
        self.path = self.stage.holding(self.data)


class Link(Scene):
    """A symlink."""

    def prepare(self) -> None:
        """Put what it points to."""
        super().prepare()
        self.put("one.pt", self.stage.next())

    def act(self) -> None:
        """Put it."""
        assert self.spool
        self.stage.may_hold("latest", "one.pt")
        self.spool.put_symlink("one.pt", "latest")
        self.stage.owes("latest", "one.pt")


class Pointer(Link):
    """A symlink, as later Composer versions log one."""

    def act(self) -> None:
        """Put the file that stands for it."""
        assert self.spool
        self.stage.may_hold("latest", "one.pt")
        self.spool.put_file("latest.symlink", self.stage.source)
        self.stage.owes("latest", "one.pt")

    def prepare(self) -> None:
        """Write that file."""
        super().prepare()
        self.stage.holding(b"one.pt\n")


class Open(Scene):
    """A spool that is there."""

    def prepare(self) -> None:
        """Leave it closed."""

    def act(self) -> None:
        """Open it."""
        self.spool = self.stage.opened()

    def after(self, *, raised: bool) -> list[str]:
        """Put into it."""
        super().after(raised=raised)
        self.put("one.pt", self.stage.next())
        return []


class Make(Open):
    """A spool that is not there."""

    def prepare(self) -> None:
        """Leave nothing of it."""
        import shutil

        shutil.rmtree(self.stage.spool)


class Close(Put):
    """A spool that is let go of."""

    def prepare(self) -> None:
        """Put a file first."""
        super().prepare()
        super().act()

    def act(self) -> None:
        """Close it."""
        self.close()


class Logged(Scene):
    """A file that a trainer logs, whose logger has not opened its spool yet."""

    def prepare(self) -> None:
        """Make the logger."""
        self.logger = ObjectStoreLogger(
            f"file://{self.stage.there}",
            spool=self.stage.spool,
            object_name="{artifact_name}",
            agent="external",
        )
        self.data = self.stage.next()
        self.path = self.stage.holding(self.data)

    def act(self) -> None:
        """Log it."""
        self.stage.may_hold("one.pt", self.data)
        state: Any = SimpleNamespace(run_name="run", timestamp=None)
        self.logger.log_file_artifact(state, LogLevel.EPOCH, "one.pt", self.path, overwrite=False)
        self.stage.owes("one.pt", self.data)

    def close(self) -> None:
        """End the run."""
        self.logger.post_close()


class Ended(Logged):
    """The end of a run."""

    def prepare(self) -> None:
        """Log a file first."""
        super().prepare()
        super().act()

    def act(self) -> None:
        """End it; that never raises."""
        self.logger.post_close()


#: What is played by name; the first line of each says what it is.
SCENARIOS: dict[str, Callable[[Stage], Scene]] = {
    "put": Put,
    "replace": Replace,
    "empty": Empty,
    "reopen": Reopen,
    "checkpoint": Checkpoint,
    "link": Link,
    "pointer": Pointer,
    "open": Open,
    "make": Make,
    "close": Close,
    "logged": Logged,
    "ended": Ended,
}
