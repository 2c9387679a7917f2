"""Drain under the worst: a service that takes every request and answers none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.bucket_scene import BucketScene, is_own
from tests.servers.faults import Fault, StallBody
from tests.servers.proxy import FaultProxy
from tests.servers.requests import Request
from tests.servers.services import Service

TIMEOUT = 2.0  #: seconds that a drain is given
GRACE = 30.0  #: seconds that it may take beyond that; a stall is waited for a minute, and again
MIB = 1 << 20


@pytest.fixture
def scene(service: Service, tmp_path: Path) -> Iterator[BucketScene]:
    """A spool with small files, a large one and a symlink, none of them sent."""
    with FaultProxy(service.endpoint) as proxy:
        scene = BucketScene(tmp_path / "scene", service, proxy, part_size="5MiB")
        with scene.open() as spool:
            for number in range(20):
                spool.put_file(f"small-{number}", scene.write("source", os.urandom(1000)))
            spool.put_file("large", scene.write("source", os.urandom(40 * MIB)))
            spool.put_symlink("large", "latest", overwrite=True)
        yield scene


def stalls(request: Request) -> Fault | None:
    """Stall whatever is asked."""
    del request
    return StallBody()


def stalls_once_it_works(request: Request) -> Fault | None:
    """Stall what is about an artifact: the service was found to be good."""
    return StallBody() if is_own(request) else None


@pytest.mark.timeout(120)  # two drains, beside others
@pytest.mark.parametrize("decide", [stalls, stalls_once_it_works])
def test_a_drain_ends_in_time_though_every_request_stalls(
    scene: BucketScene, decide: Callable[[Request], Fault | None]
) -> None:
    """Exit code 4, soon after its timeout; and nothing is lost: the next one brings everything."""
    scene.proxy.decide = decide
    began = time.monotonic()
    ended = scene.start("drain", "--timeout", f"{TIMEOUT}s").wait(60)
    took = time.monotonic() - began
    assert ended == 4, scene.log.read_text()
    assert took < TIMEOUT + GRACE
    assert scene.names() == set()
    scene.proxy.decide = lambda _: None
    assert scene.start("drain").wait(60) == 0, scene.log.read_text()
    expected = {f"small-{number}" for number in range(20)} | {"large", "latest.symlink"}
    assert scene.names() == expected
    assert len(scene.read("large")) == 40 * MIB
