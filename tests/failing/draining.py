"""Empties a spool while calls fail: an upload is tried again, or the drain ends with its reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tests.failing.enqueuing import Scene
from tests.failing.stage import PART, Stage
from uploader import clock
from uploader.state import State

PATIENCE = 900.0  #: seconds, which pass at once, that a drain has while calls go on failing


class Drain(Scene):
    """Small files, a name that was replaced, a symlink, a file in parts."""

    def prepare(self) -> None:
        """Put all that, and let go."""
        super().prepare()
        assert self.spool
        for name in ("a.pt", "deep/b.pt"):
            self.put(name, self.stage.next())
        self.put("a.pt", self.stage.next(), overwrite=True)
        self.spool.put_symlink("deep/b.pt", "latest", overwrite=True)
        self.stage.owes("latest", "deep/b.pt")
        self.put("large.pt", self.stage.next(2 * PART + 5000))
        self.close()

    def act(self) -> None:
        """Empty the spool, as far as it goes."""
        ending = self.stage.drained(deadline=clock.monotonic() + 3600 + PATIENCE)
        self.notes["ending"] = ending.value

    def after(self, *, raised: bool) -> list[str]:
        """Look at what the ledger says; then give what is dead another chance."""
        found = []
        arrived = self.stage.arrived()
        with closing(self.stage.opened(producer=False)) as spool:
            uploads = spool.uploads()
            spool.retry(all=True)
        tried = [one for one in uploads if one.attempts > 1 or one.state is State.DEAD]
        self.notes["tried again"] = [f"{one.name}: {one.error}" for one in tried]
        self.notes["dead"] = [one.name for one in uploads if one.state is State.DEAD]
        found += [
            f"{one.name} has no reason"
            for one in tried
            if not one.error and one.state is not State.DONE
        ]
        found += [
            f"{one.name} is done and did not arrive"
            for one in uploads
            if one.state is State.DONE and arrived.get(one.name) != self.stage.must.get(one.name)
        ]
        return found


#: What is played by name.
SCENARIOS: dict[str, Callable[[Stage], Scene]] = {"drain": Drain}
