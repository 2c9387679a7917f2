"""A run that starts again finds its newest checkpoint: in the spool, or on a new node in the store.

As a user sees it: by `uploader get`, and by `ObjectStoreLogger.get_file_artifact`; also where
nobody answers at the destination, or it does not let us in.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
import time
from collections.abc import Iterator

import pytest

from destination import ObjectStoreLogger
from tests.cli.shell import Shell
from uploader import Spool

SOON = 30  #: seconds; a service that says nothing is given a minute before it is asked again


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the endpoint of a service that takes connections and says nothing."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_spools_newer_copy_goes_before_the_uploaded_one(shell: Shell) -> None:
    """The agent was stopped; `latest` and its checkpoint have not left the node yet."""
    shell.put("ckpt/ep1.pt", "weights 1")
    shell.link("ckpt/ep1.pt", "ckpt/latest", overwrite=True)
    assert shell.run("run", "--exit-when-idle", "0s").returncode == 0
    shell.put("ckpt/ep2.pt", "weights 2")
    shell.link("ckpt/ep2.pt", "ckpt/latest", overwrite=True)
    assert shell.run("get", "ckpt/latest", "here").returncode == 0
    new_node = ["--destination", shell.url, "ckpt/latest"]
    assert shell.run("get", *new_node, "there", spool=False).returncode == 0
    assert (shell.folder / "here").read_text() == "weights 2"
    assert (shell.folder / "there").read_text() == "weights 1"
    assert shell.run("drain").returncode == 0
    assert shell.run("get", *new_node, "later", spool=False).returncode == 0
    assert (shell.folder / "later").read_text() == "weights 2"


def test_latest_in_the_spool_may_name_a_checkpoint_that_has_left_it(shell: Shell) -> None:
    """And the other way round: `latest` there, an overwritten checkpoint here."""
    shell.put("best.pt", "old", overwrite=True)
    shell.put("ep1.pt", "one")
    shell.link("best.pt", "latest", overwrite=True)
    assert shell.run("drain").returncode == 0
    shell.link("ep1.pt", "newest")
    shell.put("best.pt", "new", overwrite=True)
    assert shell.run("get", "newest", "a").returncode == 0
    assert shell.run("get", "latest", "b").returncode == 0
    assert [(shell.folder / name).read_text() for name in "ab"] == ["one", "new"]


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_what_is_in_the_spool_needs_no_answer_of_the_store(
    shell: Shell, scheme: str, silent: str
) -> None:
    """A service that says nothing is not waited for: it is not asked."""
    spool = _spool(shell, f"{scheme}://bucket/runs", endpoint=silent)
    begun = time.monotonic()
    got = shell.run("get", "--spool", spool, "latest", "out", spool=False)
    assert got.returncode == 0, got.stderr
    assert (shell.folder / "out").read_text() == "weights"
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_what_is_in_the_spool_needs_no_credentials(shell: Shell, scheme: str) -> None:
    """They may have expired, or not be there yet, when a run starts again."""
    options = {"profile": "gone"} if scheme == "s3" else {"credentials_file": "/nowhere.json"}
    spool = _spool(shell, f"{scheme}://bucket/runs", **options)
    got = shell.run("get", "--spool", spool, "latest", "out", spool=False)
    assert got.returncode == 0, got.stderr
    assert (shell.folder / "out").read_text() == "weights"


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_training_script_resumes_from_the_spool_too(
    shell: Shell, scheme: str, silent: str
) -> None:
    """With the name as it was logged, while the destination is dead."""
    logger = ObjectStoreLogger(
        f"{scheme}://bucket/runs", spool=shell.spool_path, agent="external",
        object_name="{artifact_name}", options={"endpoint": silent},
    )  # fmt: skip
    _spool(shell, f"{scheme}://bucket/runs", endpoint=silent)
    begun = time.monotonic()
    logger.get_file_artifact("latest", str(shell.folder / "out"))
    logger.get_file_artifact("latest.symlink", str(shell.folder / "as-composer-names-it"))
    assert time.monotonic() - begun < SOON
    for name in ("out", "as-composer-names-it"):
        assert (shell.folder / name).read_text() == "weights"


def _spool(shell: Shell, url: str, **options: str) -> pathlib.Path:
    """Make the spool with a checkpoint, and `latest` that points to it."""
    with Spool(shell.spool_path, url, producer=False, options=options) as spool:
        spool.put_file("ep1.pt", shell.file("weights"))
        spool.put_symlink("ep1.pt", "latest")
    return shell.spool_path
