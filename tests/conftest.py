"""What tests of several services share."""

import gc
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from common import garbage
from tests.support.influx import InfluxServer, new_bucket, running_influxd
from tests.support.stores import OpenStore, opening_bucket, opening_db
from tests.support.victoria import VictoriaMetrics, new_db, running_victoria

MEMORY = Path("/dev/shm")
LONG = (
    "tests/cluster/test_life.py",  # it waits more than it computes
    "tests/chaos/",
    "tests/faults/",
    "tests/streamer/test_process.py",
    "tests/streamer/test_bounds.py",
    "tests/deploy/test_image.py",
    "tests/broker/test_model.py",
    "tests/cli/",
    "tests/queue/",
    "tests/cluster/",  # one control plane at a time
    "tests/collector/",
    "tests/observed/",
    "tests/storage/",
    "tests/proxy/",
    "tests/http/",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end, and need not be searched for cycles."""
    with garbage.away():
        result = yield
    gc.freeze()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that processes beside each other end together."""
    items.sort(key=lambda item: [not item.nodeid.startswith(each) for each in LONG])


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """One InfluxDB server for all tests of this process that do not break it."""
    with running_influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


@pytest.fixture(scope="session")
def victoria() -> Iterator[VictoriaMetrics]:
    """One VictoriaMetrics for all tests of this process that do not break it."""
    where = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=where) as directory,
        running_victoria(Path(directory)) as server,
    ):
        yield server


@pytest.fixture
def bucket(influxd: InfluxServer) -> Iterator[str]:
    name = new_bucket()
    yield name
    influxd.drop_bucket(name)


@pytest.fixture
def open_bucket(influxd: InfluxServer, bucket: str) -> Iterator[OpenStore]:
    """Opens the test's bucket with the given options."""
    yield from opening_bucket(influxd, bucket)


@pytest.fixture
def open_db(victoria: VictoriaMetrics) -> Iterator[OpenStore]:
    """Opens a store in VictoriaMetrics that is the test's own, with the given options."""
    yield from opening_db(victoria, new_db())
