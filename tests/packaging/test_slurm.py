"""The batch script for Slurm: told to end, it has all uploaded, and asks to be started again.

No Slurm runs where the tests run: it needs daemons, root, and a secret that they share. What stands
in for it is small, and as hard: an `srun` that runs a command once for each of two nodes, ends with
the highest exit code, and kills its tasks on SIGTERM, as the real one does; `squeue` and `scancel`
to find a step and to send its tasks a signal; and an `scontrol` that writes down what it is asked.
A node's spool is a directory of its own. The script, the trainers and `uploader` are the real ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.recipes import DOCKER
from uploader.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = DOCKER.parent
pytestmark = pytest.mark.timeout(120)  # it waits for trainers and agents of two nodes, on two cores

#: Options are all of the form `--name=value` or `--name`, in the script too. A step is a file that
#: is called as its process and tells its name; SIGUSR1 is how our scancel reaches it.
SRUN = f"""#!{sys.executable}
import os, pathlib, signal, subprocess, sys
options, command = [], sys.argv[1:]
while command[0].startswith("--"):
    options.append(command.pop(0))
name = next((each[11:] for each in options if each.startswith("--job-name=")), command[0])
tasks = []
signal.signal(signal.SIGTERM, lambda number, frame: [task.kill() for task in tasks])
signal.signal(signal.SIGUSR1, lambda number, frame: [task.terminate() for task in tasks])
for node in range(2):
    spool = os.environ["UPLOADER_SPOOL"] + f".{{node}}"
    own = {{"SLURM_PROCID": str(node), "UPLOADER_SPOOL": spool}}
    tasks.append(subprocess.Popen(command, env={{**os.environ, **own}}))
step = pathlib.Path(os.environ["STEPS"], str(os.getpid()))
step.write_text(name)
codes = [task.wait() for task in tasks]
step.unlink()
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""

SQUEUE = """#!/bin/sh
case $* in *%T*) cat "$STEPS/../state"; exit;; esac
cd "$STEPS" && for step in *; do echo "77.$step $(cat "$step")"; done
"""
SCANCEL = (
    '#!/bin/sh\nfor step in "$@"; do case $step in 77.*) kill -USR1 "${step#77.}";; esac; done\n'
)
SCONTROL = '#!/bin/sh\necho "$@" >> "$SCONTROL_ASKED"\n'
PYTHON = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
UPLOADER = f'#!/bin/sh\nexec {sys.executable} -m uploader "$@"\n'


class Cluster:
    """Two nodes, one job, and a store that both reach."""

    def __init__(self, folder: Path) -> None:
        """Put what stands in for Slurm into a directory that comes first in PATH."""
        self._asked, self.output = folder / "asked", folder / "output"
        self.state = folder / "state"
        self.state.write_text("RUNNING\n")
        self.store = folder / "store"
        programs, steps = folder / "bin", folder / "steps"
        programs.mkdir()
        steps.mkdir()
        texts = {"srun": SRUN, "squeue": SQUEUE, "scancel": SCANCEL, "scontrol": SCONTROL}
        texts |= {"uploader": UPLOADER, "python": PYTHON}
        for name, text in texts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "STEPS": str(steps),
            "SCONTROL_ASKED": str(self._asked),
            "SLURM_JOB_ID": "77",
            "SLURM_JOB_NAME": "train",
            "SLURM_NNODES": "2",
            "UPLOADER_DESTINATION": self.store.as_uri(),
            "UPLOADER_ROOT": str(folder / "local"),
        }

    def start(self, epochs: int, *, restarts: int = 0) -> subprocess.Popen[bytes]:
        """Start the batch script with trainers of so many epochs, as Slurm does."""
        command = ["bash", str(DOCKER / "slurm" / "train.sbatch")]
        command += ["python", str(DOCKER / "trainer.py"), str(epochs), "0.2", "1"]
        environment = {**self._environment, "SLURM_RESTART_COUNT": str(restarts)}
        with self.output.open("ab") as output:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return what script, trainers and agents have written so far."""
        return self.output.read_text() if self.output.exists() else ""

    def asked(self) -> list[str]:
        """Return the orders that scontrol was given."""
        return self._asked.read_text().splitlines() if self._asked.exists() else []

    def arrived(self, rank: int) -> set[str]:
        """Return the names of one rank's artifacts at the store."""
        below = self.store / "train-77" / f"rank{rank}"
        return {str(path.relative_to(below)) for path in below.rglob("*") if not path.is_dir()}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster without jobs."""
    return Cluster(tmp_path)


def test_a_job_at_its_limit_uploads_goes_back_into_the_queue_and_goes_on(cluster: Cluster) -> None:
    """SIGTERM: all that was logged arrives, requeue; started again, it trains the rest alone."""
    first = cluster.start(epochs=1000)
    _until(lambda: cluster.said().count("logged ckpt/ep3.pt") == 2, first)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 0
    assert cluster.said().count("leaves after epoch") == 2  # told, not killed
    assert cluster.asked() == ["requeue 77"]
    logged = cluster.said().count("logged ckpt/")
    assert sum(len(cluster.arrived(rank)) for rank in (0, 1)) == logged + 2  # and ckpt/latest
    assert "starts after epoch 0" in cluster.said()
    cluster.output.unlink()

    epochs = max(len(cluster.arrived(rank)) for rank in (0, 1)) + 1
    second = cluster.start(epochs, restarts=1)
    assert second.wait() == 0
    assert "starts after epoch 0" not in cluster.said()
    assert cluster.said().count("starts after epoch") == 2
    assert "everything has arrived" in cluster.said()
    assert cluster.asked() == ["requeue 77"]
    for rank in (0, 1):
        assert f"ckpt/ep{epochs}.pt" in cluster.arrived(rank)


def test_a_cancelled_job_is_not_put_back_into_the_queue(cluster: Cluster) -> None:
    """Where Slurm itself ends the job, SIGTERM is answered with nothing but leaving."""
    job = cluster.start(epochs=1000)
    _until(lambda: cluster.said().count("logged ckpt/ep1.pt") == 2, job)
    cluster.state.write_text("COMPLETING\n")
    job.send_signal(signal.SIGTERM)
    assert job.wait() == ExitCode.INTERRUPTED
    assert cluster.asked() == []


def test_dead_letters_end_a_job_with_their_own_exit_code(cluster: Cluster) -> None:
    """What can never arrive: exit code 3, the command that says why, and no requeue."""
    (cluster.store / "train-77" / "rank1" / "ckpt" / "ep1.pt" / "in the way").mkdir(parents=True)
    job = cluster.start(epochs=2)
    assert job.wait() == ExitCode.DEAD_LETTERS
    assert "uploader status --spool" in cluster.said()
    assert cluster.asked() == []
    assert "ckpt/ep2.pt" in cluster.arrived(0)


def _until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not reached():
        assert process.poll() is None, "the job has ended"
        time.sleep(0.05)
