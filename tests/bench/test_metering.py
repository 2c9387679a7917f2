"""Show that the meter misses nothing that a command, or what came of it, has used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.metering import CommandFailedError, Cost, memory_of, metered

MIB = 1 << 20

#: Seconds of CPU that each process of a test uses: many times what starting Python takes.
BURNT = 0.3

#: Seconds for what is left to end, which shares its core with others; and where nothing will.
AMPLE, SHORT = 30.0, 0.3

_BURN = f"""
import os, signal, time
def burn(times=1):
    while time.process_time() < times * {BURNT}:
        pass
"""


def test_cpu_of_an_orphan_is_counted(tmp_path: Path) -> None:
    """A process whose parent ended first is waited for, and its time is in the sum."""
    cost = _run(tmp_path, _BURN + "if os.fork() == 0: burn()")
    assert cost.cpu_seconds >= BURNT


def test_cpu_of_a_killed_grandchild_that_nobody_waited_for_is_counted(tmp_path: Path) -> None:
    """As a fork server's worker, killed when the supervisor ends."""
    program = "if os.fork() == 0 and os.fork() == 0: burn(); os.kill(os.getpid(), signal.SIGKILL)"
    assert _run(tmp_path, _BURN + program).cpu_seconds >= BURNT


def test_cpu_of_every_process_adds_up(tmp_path: Path) -> None:
    """The command, a child that it waits for, and an orphan: three times the time."""
    program = """
if child := os.fork():
    os.waitpid(child, 0)
    os.fork()
burn()
"""
    assert _run(tmp_path, _BURN + program).cpu_seconds >= 3 * BURNT


def test_shared_memory_is_counted_once() -> None:
    """Three processes with the same 64 MiB have 64 MiB together, and what each needs besides."""
    program = f"""
import os, sys
data = bytearray(b"x" * {64 * MIB})
for _ in range(2):
    if os.fork() == 0:
        break
else:
    print("ready", flush=True)
sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        together = memory_of(process.pid)
        process.communicate()
    assert 64 * MIB < together < 2 * 64 * MIB


def test_memory_at_the_peak_is_what_is_told(tmp_path: Path) -> None:
    """What was held for some time is seen, though it was let go before the end."""
    program = f"data = bytearray(b'x' * {64 * MIB}); burn(3); del data; burn(4)"
    assert _run(tmp_path, _BURN + program).peak_bytes > 64 * MIB


def test_a_process_that_stays_fails_the_measurement_and_is_ended(tmp_path: Path) -> None:
    """Its cost would not be known."""
    program = "child = os.fork() or signal.pause(); print(child)"
    with pytest.raises(CommandFailedError, match="left processes"):
        _run(tmp_path, _BURN + program, SHORT)
    pid = int((tmp_path / "log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    """A peer that refused its work at once would look like the fastest."""
    with pytest.raises(CommandFailedError, match=r"ended with 3.*\n.*no such bucket"):
        _run(tmp_path, "import sys; print('no such bucket', flush=True); sys.exit(3)")


def _run(folder: Path, program: str, stay: float = AMPLE) -> Cost:
    return metered([sys.executable, "-c", program], os.environ, folder / "log", stay)
