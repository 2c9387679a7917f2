"""Ends a large upload with SIGTERM; counts at a proxy what was sent more than once.

The upload is held to a bandwidth with which it cannot be finished in the ten seconds of grace.
`UPLOADER_TEST_GRACE_MIB=1024` makes the file a gibibyte, as the figures in
`.github/decisions/2026-11-23-preemption.md` have it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.bucket_scene import PREFIX, BucketScene, wait_until
from tests.servers.proxy import FaultProxy
from tests.servers.services import service_of

if TYPE_CHECKING:
    from tests.servers.requests import Request

MIB = 1 << 20
SIZE = int(os.environ.get("UPLOADER_TEST_GRACE_MIB", "80")) * MIB
PART = max(5 * MIB, SIZE // 64)  #: bytes; S3 takes no smaller ones
WORKERS = 2
RATE = PART  #: bytes a second: a part takes two seconds, the file sixteen or more
NAME = "checkpoint"


@pytest.mark.timeout(120)  # SIZE through two processes, some of it slowly
def test_sigterm_loses_no_more_than_the_parts_in_flight(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Those are let finish within the grace, so that the next drain sends only what is left."""
    service = service_of("s3", request)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB) * (SIZE // MIB))
    sent: list[Request] = []
    with FaultProxy(service.endpoint) as proxy:
        scene = BucketScene(tmp_path, service, proxy, part_size=PART)
        with scene.open() as spool:
            upload_id = spool.put_file(NAME, source)
            seq = spool.upload(upload_id).seq
            proxy.decide = lambda one: (
                sent.append(one) if service.brings(one, f"{PREFIX}/{NAME}", upload_id) else None
            )
            slowly = ["--workers", str(WORKERS), "--max-bandwidth", str(RATE)]
            agent = scene.start("run", *slowly)
            wait_until(lambda: spool.ledger.parts(seq))
            agent.terminate()
            assert agent.wait(30) == 130, scene.log.read_text()
            before = sum(one.body_bytes for one in sent)
            kept = sum(part.size for part in spool.ledger.parts(seq))
            assert f"{NAME}; they are kept in the spool" in scene.log.read_text()
        assert scene.start("drain", "--max-bandwidth", "1TiB").wait(100) == 0
    again = sum(one.body_bytes for one in sent) - SIZE
    print(f"kept {kept >> 20} of {before >> 20} MiB sent until SIGTERM; {again} bytes sent again")
    assert PART <= kept < SIZE
    assert again == before - kept
    assert again == 0  # a kill would cost the parts in flight
    assert scene.describe(NAME).size == SIZE
