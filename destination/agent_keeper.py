"""Keeps an agent on the spool while there is work for one.

- The agent is started by exec, detached: it outlives a killed trainer.
- All ranks of a node try; the spool's lock lets one agent be. Who comes second costs one look.
- That no agent can be started does not end the training: what was logged is durable, and the
  warning names the command that uploads it.
"""

from __future__ import annotations

import logging
import time
import warnings
from typing import TYPE_CHECKING

from destination.commands import drain_command

if TYPE_CHECKING:
    from pathlib import Path

    from uploader import Spool

#: seconds; an agent that was killed is missed for at most this long, and one that dies at every
#: start is not started more often
LOOK_INTERVAL = 10.0

#: seconds, while somebody waits: an agent takes about half of one to start
OFTEN = 1.0

log = logging.getLogger(__name__)


class AgentKeeper:
    """Starts the agent of a spool, and again when it has gone.

    Args:
        spool_path: the spool's directory.
        workers: processes that upload at the same time.
    """

    def __init__(self, spool_path: Path, workers: int) -> None:
        self._spool_path = spool_path
        self._workers = workers
        self._looked = -LOOK_INTERVAL  #: monotonic seconds

    def start(self) -> None:
        """Start an agent where none runs."""
        from subprocess import SubprocessError

        from uploader import start_agent

        self._looked = time.monotonic()
        try:
            started = start_agent(self._spool_path, workers=self._workers)
        except (OSError, SubprocessError) as error:
            message = (
                f"no upload agent could be started ({error}); nothing is lost, "
                f"upload what is spooled with: {drain_command(self._spool_path)}"
            )
            log.warning("%s", message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        else:
            log.debug("agent of %s: %s", self._spool_path, "started" if started else "runs already")

    def look_after(self, spool: Spool, *, often: bool = False) -> None:
        """Start an agent again where none runs and work is pending; looks once in a while only."""
        if time.monotonic() < self._looked + (OFTEN if often else LOOK_INTERVAL):
            return
        self._looked = time.monotonic()
        if spool.pending(limit=1):
            self.start()
