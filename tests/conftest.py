"""Orders the tests, quick ones first, so that a plain mistake shows first; starts what many share.

- A server starts when the first test asks for it, once in a run, and ends with the run.
- One that cannot start fails the tests that need it: a skip would hide that nothing was tested.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.gcs_server import GcsServer
    from tests.servers.s3_server import S3Server
    from tests.servers.seaweed import Seaweed
    from tests.servers.services import Service
    from tests.servers.strict_gcs.running import StrictGcs

#: Folders of tests/ that run last, in this order; every other folder runs before them.
LAST_ROOMS = ("model", "conformance", "crash", "failing", "soak", "power", "demo", "packaging")


def pytest_configure() -> None:
    """Take signals as what is run at a terminal does; so does all that tests start.

    A shell without job control has what it starts with `&` ignore SIGINT, which is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by room, what is marked slow to the end of its room; else leave the order alone."""
    items.sort(key=_when)


@pytest.fixture(scope="session")
def seaweed(both_seaweeds: Seaweed) -> S3Server:
    """SeaweedFS by http."""
    return both_seaweeds.http


@pytest.fixture(scope="session")
def seaweed_tls(both_seaweeds: Seaweed) -> S3Server:
    """The same SeaweedFS, its buckets and all, by https."""
    return both_seaweeds.https


@pytest.fixture(scope="session")
def both_seaweeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """The one process behind both."""
    from tests.servers.seaweed import seaweed_running  # boto3: not in every run of one unit test

    with seaweed_running(tmp_path_factory.mktemp("seaweed")) as servers:
        yield servers


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """MiniStack by http: for races of conditional completes, which SeaweedFS gets wrong."""
    from tests.servers.ministack import ministack_running

    with ministack_running(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """Start fake-gcs-server by http: for simple uploads with preconditions."""
    from tests.servers.fake_gcs import fake_gcs_running

    with fake_gcs_running(tmp_path_factory.mktemp("fake_gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """Start gcp-storage-emulator by http: for sessions without preconditions."""
    from tests.servers.gcs_emulator import gcs_emulator_running

    with gcs_emulator_running(tmp_path_factory.mktemp("gcs_emulator")) as server:
        yield server


@pytest.fixture(scope="session")
def strict_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictGcs]:
    """Our own strict GCS server by http; a test that changes its behaviour sets it back."""
    from tests.servers.strict_gcs.running import strict_gcs_running

    with strict_gcs_running(tmp_path_factory.mktemp("strict_gcs")) as process:
        yield process.server


@pytest.fixture(scope="module", params=["s3", "gs"])
def service(request: pytest.FixtureRequest) -> Service:
    """One service of each kind of store, for the tests that hold for all of them."""
    from tests.servers.services import service_of

    return service_of(str(request.param), request)


def _when(item: pytest.Item) -> tuple[int, bool]:
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    place = LAST_ROOMS.index(room) + 1 if room in LAST_ROOMS else 0
    return place, item.get_closest_marker("slow") is not None
