"""A collector before a real InfluxDB that goes away and comes back."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import Store
from tests.collector.fakes import T0, message
from tests.support.broker import RunningBroker, running_broker
from tests.support.collector import CollectorProcess, collector_process
from tests.support.influx import ORG, TOKEN, InfluxServer, running_influxd
from tests.support.stores import opening_bucket
from tests.support.waiting import until_told

MESSAGES = 400
GPUS = 5
BUCKET = "fleet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxServer]:
    """A server that a test may break."""
    with running_influxd(tmp_path / "influxd") as server:
        yield server


@pytest.fixture
def store(server: InfluxServer) -> Iterator[Store]:
    for open_it in opening_bucket(server, BUCKET):
        yield open_it(writable=False)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """A broker that holds ``MESSAGES`` messages."""
    async with running_broker(tmp_path / "broker") as broker:
        for partition in range(4):
            numbers = range(partition, MESSAGES, 4)
            payloads = [message(*samples_of(number)) for number in numbers]
            await broker.client.produce_lines("telemetry", *payloads, partition=partition)
        yield broker


def samples_of(number: int) -> list[Sample]:
    return [
        Sample(Gpu(uuid=f"GPU-{n}", hostname="h"), T0 + number, {"power": float(number)})
        for n in range(GPUS)
    ]


def environment(server: InfluxServer) -> dict[str, str]:
    return {
        "STORE": "influxdb",
        "INFLUXDB_URL": server.url,
        "INFLUXDB_TOKEN": TOKEN,
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_BUCKET": BUCKET,
        "INFLUXDB_TIMEOUT": "2s",
        "DELIVERY_SIZE": "5",
        "QUEUE_BUFFER_SIZE": "50",
        "BATCH_SIZE": "20",
    }


async def until_stored(store: Store, points: int) -> None:
    """Return when the store holds that many points."""

    def enough() -> bool:
        try:
            return store.stats().points >= points
        except StoreUnavailable:
            return False

    async def ask() -> bool:
        return await asyncio.to_thread(enough)

    for _ in range(3):
        try:
            return await until_told(ask)
        except TimeoutError:
            continue
    raise TimeoutError(f"the store never had {points} points")


async def test_killed_on_both_sides_each_point_is_stored_once(
    tmp_path: Path, broker: RunningBroker, server: InfluxServer, store: Store
) -> None:
    chance = random.Random(4)
    async with collector_process(tmp_path, broker.url, **environment(server)) as collector:
        for _ in range(2):
            await until_stored(store, chance.randrange(MESSAGES * GPUS // 3))
            server.kill()
            await collector.kill()
            await collector.start()  # while its store is away
            await asyncio.to_thread(server.start)
        await until_stored(store, MESSAGES * GPUS)
    await exactly_all(store)


async def test_a_revoked_token_and_a_deleted_bucket_lose_nothing(
    tmp_path: Path, broker: RunningBroker, server: InfluxServer, store: Store
) -> None:
    wrong = environment(server) | {"INFLUXDB_TOKEN": "revoked-token-of-a-test"}
    async with collector_process(tmp_path, broker.url, **wrong) as collector:
        await says(collector, "unauthorized")
        assert "revoked-token-of-a-test" not in collector.output()
    async with collector_process(tmp_path, broker.url, **environment(server)) as collector:
        await until_stored(store, MESSAGES * GPUS)
        server.drop_bucket(BUCKET)
        late = [message(*samples_of(number)) for number in range(MESSAGES, MESSAGES + 10)]
        await broker.client.produce_lines("telemetry", *late, partition=0)
        await says(collector, "not found")
        await collector.kill()
        await collector.start()  # makes the bucket; what was spooled is still there
        await until_stored(store, 10 * GPUS)
    assert store.stats().points == 10 * GPUS


async def says(collector: CollectorProcess, words: str) -> None:
    """Return when the collector has logged some words."""

    async def said() -> bool:
        return words in collector.output()

    await until_told(said)


async def exactly_all(store: Store) -> None:
    stats = await asyncio.to_thread(store.stats)
    assert (stats.gpus, stats.points) == (GPUS, MESSAGES * GPUS)
    for n in range(GPUS):
        record = store.gpu(f"GPU-{n}")
        assert record is not None
        assert (record.points, record.gpu.hostname) == (MESSAGES, "h")
