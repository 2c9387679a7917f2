"""The Dockerfile's steps, carried out without an engine, give an environment that uploads.

`docker build` itself, its layers, users and mounts are not run here: there is no engine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging import dockerfile

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Building fetches what is locked.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: A process namespace of one's own, for which one must be root (or what is much like it).
AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage makes, below a directory."""
    root = tmp_path_factory.mktemp("image")
    dockerfile.build(root)
    return root


def test_the_image_has_what_is_locked_and_nothing_that_installs(image: Path) -> None:
    """The versions are the lock's; no pip came along."""
    listing = _run(
        [image / "opt/build/bin/uv", "pip", "list", "--format=json", "--python", _python(image)]
    )
    installed = {each["name"]: each["version"] for each in json.loads(listing)}
    lock = (dockerfile.DOCKERFILE.parent / "requirements.lock").read_text()
    del installed["artifact-uploader"]
    assert len(installed) > 10
    assert all(f"\n{name}=={version} " in lock for name, version in installed.items())


def test_the_entry_point_uploads_a_file(image: Path, tmp_path: Path) -> None:
    """By the image's own PATH and variables `uploader` is found; it spools, drains, exits 0."""
    (tmp_path / "file").write_bytes(b"bytes")
    store = tmp_path / "store"
    assert "uploader, version" in _run(_entry(image, "--version"), image)
    _run(_entry(image, "init", "--destination", store.as_uri()), image)
    _run(_entry(image, "put", str(tmp_path / "file"), "name"), image)
    _run(_entry(image, "drain"), image)
    assert (store / "name").read_bytes() == b"bytes"
    assert (image / "spool" / "run" / "spool.db").exists()  # UPLOADER_SPOOL


def test_as_process_1_the_agent_takes_the_stop_signal(image: Path, tmp_path: Path) -> None:
    """No init program is needed: it uploads, STOPSIGNAL ends it, and it reaps what it started."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: only root may make a process namespace here")
    (tmp_path / "file").write_bytes(b"bytes")
    store = tmp_path / "store"
    shutil.rmtree(image / "spool", ignore_errors=True)
    _run(_entry(image, "init", "--destination", store.as_uri()), image)
    command = [*AS_PROCESS_1, *_entry(image, "run")]
    with subprocess.Popen(command, env=_environment(image), stdin=subprocess.DEVNULL) as engine:
        try:
            file = str(tmp_path / "file")
            _run(_entry(image, "put", file, "name", "--wait", "--timeout", "60s"), image)
            (agent,) = _children(engine.pid)
            assert not any(_state(child) == "Z" for child in _children(agent))
            (name,) = dockerfile.texts(dockerfile.stages()[-1], "STOPSIGNAL")
            os.kill(agent, signal.Signals[name])
            assert engine.wait(30) == 0
        finally:
            engine.kill()


def _python(image: Path) -> Path:
    return image / "opt/uploader/bin/python"


def _entry(image: Path, *arguments: str) -> list[str]:
    """Return the command line as an engine puts it together, `uploader` found as it finds it."""
    (text,) = dockerfile.texts(dockerfile.stages()[-1], "ENTRYPOINT")
    program, *fixed = json.loads(text)
    found = shutil.which(program, path=_environment(image)["PATH"])
    assert found
    assert found.startswith(str(image))
    return [found, *fixed, *arguments]


def _environment(image: Path) -> dict[str, str]:
    stage = dockerfile.variables(dockerfile.stages()[-1])
    values = {name: dockerfile.moved(value, image) for name, value in stage.items()}
    return {**values, "PATH": values["PATH"].replace("${PATH}", "/usr/bin:/bin")}


def _run(command: Sequence[str | Path], image: Path | None = None) -> str:
    environment = _environment(image) if image else None
    result = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
