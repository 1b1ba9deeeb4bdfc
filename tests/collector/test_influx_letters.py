"""What a real InfluxDB refuses: alone in the dead-letter queue with the server's words."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.models import Gpu, Sample
from common.storage.base import Store
from tests.collector.fakes import T0
from tests.collector.test_redrive import (
    collecting,
    dead_letters,
    produce,
    redrive,
    settled,
)
from tests.support.influx import InfluxServer
from tests.support.proxy import cluster
from tests.support.stores import OpenStore
from tests.support.waiting import until, until_told

GPUS, MOMENTS = 50, 10
DAY_SECONDS = 86_400
NAMES = [f"metric_{n}" for n in range(10)]


@pytest.fixture
def store(open_bucket: OpenStore) -> Iterator[Store]:
    """A store that keeps a day."""
    yield open_bucket(retention_seconds=float(DAY_SECONDS))


def fleet() -> list[Sample]:
    """5,000 points of the last seconds."""
    now = int(time.time()) * 1000
    return [
        Sample(Gpu(uuid=f"gpu-{gpu}"), now + at, dict.fromkeys(NAMES, 1.0))
        for at in range(MOMENTS)
        for gpu in range(GPUS)
    ]


async def test_a_conflict_of_types_costs_one_point_of_five_thousand(
    tmp_path: Path, influxd: InfluxServer, bucket: str, store: Store, open_bucket: OpenStore
) -> None:
    samples = fleet()
    samples[333].metrics["odd"] = 1.5
    influxd.write(bucket, f"gpu,gpu=somebody-elses odd=1i {samples[0].timestamp}")
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store) as pipeline:
        await produce(queue, samples)
        await until(lambda: pipeline.stats()["messages_errors"])
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        (letter,) = await dead_letters(queue)
        await until_told(lambda: settled(queue))
    assert "field type conflict" in letter["error"]
    assert '"odd":1.5' in letter["payload"]
    assert "metric_0" not in letter["payload"]
    assert open_bucket(writable=False).stats().points == 5_000 + 1  # and somebody else's


async def test_a_point_older_than_the_retention_is_stored_once_that_was_lengthened(
    tmp_path: Path, store: Store, open_bucket: OpenStore
) -> None:
    samples = fleet()
    samples[333].timestamp = T0
    samples[333].metrics = {"metric_0": 1.0}
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store) as pipeline:
        await produce(queue, samples)
        await until(lambda: pipeline.stats()["messages_errors"])
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        (letter,) = await dead_letters(queue)
        assert "retention" in letter["error"]
        assert store.stats().points == 4_990
        open_bucket(retention_seconds=0.0).check()  # makes the bucket keep everything
        await redrive(queue)
        await until(lambda: store.stats().points == 4_991)
        assert await dead_letters(queue) == []
        await until_told(lambda: settled(queue))
