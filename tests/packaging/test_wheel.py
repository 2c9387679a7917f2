"""The wheel has everything that the checkout has, and works where nothing else is."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Building fetches the build backend, and installing fetches the dependencies.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout in an environment of its own."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment where only the wheel was installed."""
    folder = tmp_path_factory.mktemp("venv")
    _run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pins = ROOT / "scripts" / "constraints.txt"
    _run(python, "-m", "pip", "install", "--quiet", "--constraint", pins, wheel)
    return python


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    """Whatever git keeps below `uploader` and `destination`, SQL and pages too, is in the wheel."""
    listing = _run("git", "-C", ROOT, "ls-files", "uploader", "destination").splitlines()
    kept = {name for name in listing if (ROOT / name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert kept - shipped == set()
    assert any(name.endswith(".sql") for name in shipped)
    assert {name.split("/")[0] for name in shipped} == {"uploader", "destination"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Name, licence, oldest Python and the bounded dependency stand in the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = email.message_from_bytes(archive.read(path))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert metadata["Name"] == "artifact-uploader"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    needs = metadata.get_all("Requires-Dist") or []
    assert "persist-queue<1.2,>=1.1" in needs
    assert "tenacity>=9" in needs


def test_the_installed_command_uploads_a_file(python: Path, tmp_path: Path) -> None:
    """From the wheel alone, `uploader` spools a file, drains, and the bytes are there."""
    uploader, spool = python.parent / "uploader", tmp_path / "spool"
    (tmp_path / "file").write_bytes(b"bytes")
    url = (tmp_path / "destination").as_uri()
    _run(uploader, "init", "--spool", spool, "--destination", url)
    _run(uploader, "put", "--spool", spool, tmp_path / "file", "name")
    _run(uploader, "drain", "--spool", spool)
    assert (tmp_path / "destination" / "name").read_bytes() == b"bytes"


def test_the_demo_says_which_extra_it_needs(python: Path, tmp_path: Path) -> None:
    """Without numpy, `uploader demo` names the extra to install instead of a traceback."""
    result = _call(python.parent / "uploader", "demo", cwd=tmp_path)
    assert result.returncode == 2
    assert "artifact-uploader[demo]" in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_either_package_needs_nothing_else(python: Path) -> None:
    """`import uploader` and `import destination` load no third-party package at all."""
    installed = (
        "print(*{name.split('.')[0] for name, module in sys.modules.items()"
        " if 'site-packages' in (getattr(module, '__file__', '') or '')})"
    )
    bare = _run(python, "-I", "-c", f"import sys; {installed}").split()
    ours = _run(python, "-I", "-c", f"import sys, uploader, destination; {installed}").split()
    assert set(ours) - set(bare) == {"uploader", "destination"}


def _run(*command: str | os.PathLike[str]) -> str:
    result = _call(*command)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _call(
    *command: str | os.PathLike[str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd, check=False
    )
