"""Leaves nothing at the destination of an upload that ended without arriving."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from tests.crash.bucket_scene import PREFIX, BucketScene, wait_until
from tests.crash.processes import supervisor_of
from tests.crash.scene import PART, Scene
from tests.servers.faults import Hold
from tests.servers.kinds import Kind
from tests.servers.proxy import FaultProxy
from uploader.store.trial import PROBE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.requests import Request
    from tests.servers.services import Service

OLD = b"version 1"
NEW = b"version 2"


@pytest.fixture(params=["whole", "in parts"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    """Return a scene in which a killed worker has left an unfinished object of a dead upload."""
    scene = Scene(tmp_path)
    padding = bytes(0 if request.param == "whole" else 2 * PART)
    with scene.open() as spool:
        spool.put_file("name", scene.write("old", OLD + padding), overwrite=True)
    ended = scene.run("drain", "--max-attempts", "1", crash="local.temporary-synced")
    assert ended.returncode == 3, ended.stderr
    assert len(scene.leftovers()) == 2  # its bytes in the spool, and the unfinished object
    return scene


def test_what_a_superseded_upload_left_is_removed(scene: Scene) -> None:
    """The newer version arrives; of the older one nothing stays anywhere."""
    with scene.open() as spool:
        spool.put_file("name", scene.write("new", NEW), overwrite=True)
    drained = scene.run("drain")
    assert drained.returncode == 0, drained.stderr
    assert scene.arrived() == {"name": NEW}
    assert not scene.leftovers()


def test_what_a_cancelled_upload_left_is_removed(scene: Scene) -> None:
    """A person gives it up, and the next drain cleans up after it."""
    assert scene.run("cancel", "name").returncode == 0
    drained = scene.run("drain")
    assert drained.returncode == 0, drained.stderr
    assert scene.arrived() == {}
    assert not scene.leftovers()


def test_a_dead_letter_of_a_passing_failure_keeps_its_parts_for_the_retry(scene: Scene) -> None:
    """Nothing of it is removed before a person has decided."""
    assert scene.run("drain").returncode == 3
    assert len(scene.leftovers()) == 2
    assert scene.run("retry", "name").returncode == 0
    assert scene.run("drain").returncode == 0
    arrived = scene.arrived()["name"]
    assert isinstance(arrived, bytes)
    assert arrived.startswith(OLD)
    assert not scene.leftovers()


def test_what_a_killed_trial_left_is_removed_by_gc(tmp_path: Path, service: Service) -> None:
    """A drain dies before it has deleted what it tried the service with: not there for ever."""

    def decide(request: Request) -> Hold | None:
        return Hold(threading.Event()) if request.kind == Kind.DELETE else None

    with FaultProxy(service.endpoint) as proxy:
        scene = BucketScene(tmp_path / "scene", service, proxy)
        with scene.open() as spool:
            spool.put_file("name", scene.write("file", NEW))
        proxy.decide = decide
        drain = scene.start("drain")
        wait_until(lambda: any(one.kind == Kind.DELETE for one in proxy.requests))
        drain.kill()
        drain.wait()
        wait_until(lambda: not supervisor_of(scene.spool))
        proxy.decide = lambda _: None
        assert scene.run("drain").returncode == 0
        left = {name for name in scene.names() if name.startswith(PROBE)}
        assert left
        young = scene.run("gc", "--json")
        assert json.loads(young.stdout)["removed"] == [], "it may be another node's, under way"
        swept = scene.run("gc", "--older-than", "0s", "--json")
        assert all(
            any(f"{PREFIX}/{name} " in one for one in json.loads(swept.stdout)["removed"])
            for name in left
        )
        assert scene.names() == {"name"}
