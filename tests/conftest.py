"""What tests of several services share."""

from collections.abc import Iterator

import pytest

from tests.support.influx import InfluxServer, new_bucket, running_influxd
from tests.support.stores import OpenStore, opening_bucket
from tests.support.victoria import VictoriaMetrics, running_victoria


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """One InfluxDB server for all tests of this process that do not break it."""
    with running_influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


@pytest.fixture(scope="session")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """One VictoriaMetrics for all tests of this process that do not break it."""
    with running_victoria(tmp_path_factory.mktemp("victoria")) as server:
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
