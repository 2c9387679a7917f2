"""Works with an open spool in the name of one run: puts, reports, keeps an agent, ends.

- The rank is read at each call: a process that forks, and then gets a rank, is that rank.
- What is put is durable before anything else is looked at.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from destination import artifact_name as names
from destination.closing import has_left, tell_what_is_left, wait_until_sent

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable

    from destination.agent_keeper import AgentKeeper
    from destination.failure_report import FailureReport
    from uploader import Spool


class SpoolSession:
    """A spool between INIT (or the first use) and `post_close()`.

    Args:
        spool: open; closed by `close()`.
        run: the run's name; "" where it has none.
        failures: where dead letters are told.
        agent: who keeps an agent running; None leaves that to somebody else.
    """

    def __init__(
        self, spool: Spool, run: str, failures: FailureReport, agent: AgentKeeper | None
    ) -> None:
        self._spool = spool
        self._runs = [run]  #: the names that it had, the last one now
        self._failures = failures
        self._agent = agent

    @property
    def run(self) -> str:
        """The run's name; what was logged before it was known is waited for like the rest."""
        return self._runs[-1]

    @run.setter
    def run(self, name: str) -> None:
        if name != self.run:
            self._runs.append(name)

    def begin(self) -> None:
        """Tell of what is dead already, and start an agent where none runs."""
        if self._agent:
            self._agent.start()
        self._failures.begin(self._spool, self.run, _rank())

    def put_file(self, name: str, path: pathlib.Path, *, overwrite: bool) -> None:
        """Spool a file; errors are those of `Spool.put_file`."""
        self._spool.put_file(name, path, overwrite=overwrite, run=self.run, rank=_rank())
        self._look_after_agent()

    def put_symlink(self, existing: str, name: str, *, overwrite: bool) -> None:
        """Spool a symlink; errors are those of `Spool.put_symlink`."""
        self._spool.put_symlink(existing, name, overwrite=overwrite, run=self.run, rank=_rank())
        self._look_after_agent()

    def check(self) -> None:
        """Report new dead letters, and see that the agent still runs.

        Raises:
            RuntimeError: a new dead letter, if failures are to raise.
        """
        self._look_after_agent()
        self._failures.check(self._spool, self.run, _rank())

    def flush(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; tell whether all of this run and rank has arrived.

        Raises:
            RuntimeError: a new dead letter, if failures are to raise.
        """
        if self._agent and self._spool.pending(limit=1):
            self._agent.start()
        self._wait(timeout, self._see_to_agent)
        self._failures.check(self._spool, self.run, _rank())
        return not any(has_left(self._spool, run, _rank()) for run in self._runs)

    def close(self, timeout: float | None) -> None:
        """Wait for at most `timeout` seconds, say what is left, and let the spool go."""
        try:
            if timeout:
                self._wait(timeout, self._look_after_agent)
            for run in self._runs:
                tell_what_is_left(self._spool, run, _rank())
        finally:
            self._spool.close()

    def _wait(self, timeout: float, between: Callable[[], None]) -> None:
        until = time.monotonic() + timeout
        for run in self._runs:
            left = max(0.0, until - time.monotonic())
            wait_until_sent(self._spool, run, _rank(), left, between)

    def _look_after_agent(self) -> None:
        if self._agent:
            self._agent.look_after(self._spool)

    def _see_to_agent(self) -> None:
        """Look more often: in a grace nobody can be without an agent for long."""
        if self._agent:
            self._agent.look_after(self._spool, often=True)


def _rank() -> int:
    return names.process_placeholders()["rank"]
