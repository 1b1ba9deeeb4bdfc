"""The collector as a process: killed, stopped, looked at."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.errors import StoreUnavailable
from common.models import Sample
from common.storage.sqlite.store import SqliteStore
from tests.collector.fakes import message, sample
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient
from tests.support.collector import collector_process

MESSAGES = 600
POINTS_EACH = 5
STOP_SECONDS = 5.0
WAIT_SECONDS = 20.0
SMALL = {"DELIVERY_SIZE": "5", "QUEUE_BUFFER_SIZE": "50", "BATCH_SIZE": "20"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """A broker that holds ``MESSAGES`` messages for the collectors."""
    async with running_broker(tmp_path / "broker") as broker:
        for partition in range(4):
            numbers = range(partition, MESSAGES, 4)
            payloads = [message(*samples_of(number)) for number in numbers]
            await broker.client.produce_lines("telemetry", *payloads, partition=partition)
        yield broker


def samples_of(number: int) -> list[Sample]:
    return [sample(number * POINTS_EACH + n) for n in range(POINTS_EACH)]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as something holds; raises TimeoutError."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await holds():  # noqa: ASYNC110  what is waited for is in another process
            await asyncio.sleep(0.01)


async def until_stored(path: Path, points: int) -> None:
    """Return when a store holds ``points``."""

    async def stored() -> bool:
        return await asyncio.to_thread(count, store) >= points

    store = SqliteStore(path, writable=False)
    await until(stored)
    store.close()


def count(store: SqliteStore) -> int:
    try:
        return store.stats().points
    except StoreUnavailable:
        return 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_moment_each_point_is_stored_once(
    tmp_path: Path, broker: RunningBroker, seed: int
) -> None:
    chance = random.Random(seed)
    async with collector_process(tmp_path, broker.url, **SMALL) as collector:
        for _ in range(3):
            await until_stored(collector.sqlite_path, chance.randrange(MESSAGES * POINTS_EACH // 4))
            await collector.kill()
            await collector.start()
        await until_stored(collector.sqlite_path, MESSAGES * POINTS_EACH)
        await until_acked(broker)
    store = SqliteStore(collector.sqlite_path, writable=False)
    assert store.stats().points == MESSAGES * POINTS_EACH
    assert store.count_points("GPU-a", *sample_range()) == MESSAGES * POINTS_EACH
    store.close()


def sample_range() -> tuple[int, int]:
    return sample(0).timestamp, sample(MESSAGES * POINTS_EACH).timestamp


async def until_acked(broker: RunningBroker) -> None:
    """Return when the broker's books say that all is acked."""

    async def acked() -> bool:
        return sum(row["acked"] for row in await rows(broker)) == MESSAGES

    await until(acked)
    assert sum(row["lag"] for row in await rows(broker)) == 0


async def rows(broker: RunningBroker) -> list[dict[str, int]]:
    return await broker.client.groups("telemetry", "collectors")


async def test_sigterm_ends_it_in_time_without_a_traceback(
    tmp_path: Path, broker: RunningBroker
) -> None:
    async with collector_process(tmp_path, broker.url, **SMALL) as collector:
        await until_stored(collector.sqlite_path, 1)
        async with asyncio.timeout(STOP_SECONDS):
            assert await collector.terminate() == -signal.SIGTERM
    assert "Traceback" not in collector.output()
    assert "collector stopped" in collector.output()


async def test_sigterm_ends_it_in_time_while_the_queue_is_away(tmp_path: Path) -> None:
    async with collector_process(tmp_path, "http://127.0.0.1:1") as collector:
        async with asyncio.timeout(STOP_SECONDS):
            assert await collector.terminate() == -signal.SIGTERM
    assert "Traceback" not in collector.output()


async def test_its_numbers_can_be_read(tmp_path: Path, broker: RunningBroker) -> None:
    await broker.client.produce("telemetry", b"nonsense", partition=0)
    async with (
        collector_process(tmp_path, broker.url) as collector,
        BrokerClient(collector.url, token=None) as client,
    ):
        await until_stored(collector.sqlite_path, MESSAGES * POINTS_EACH)
        await until_processed(client, MESSAGES + 1)
        stats = (await client.request("GET", "/stats")).json
        text = (await client.request("GET", "/metrics")).body.decode()
    assert stats["messages_errors"] == {"bad_json": 1}
    assert stats["telemetry_new"] == MESSAGES * POINTS_EACH
    values = {
        (found.name, *found.labels.values()): found.value
        for family in text_string_to_metric_families(text)
        for found in family.samples
    }
    assert values["collector_messages_total",] == MESSAGES + 1
    assert values["telemetry_data_points_total",] == MESSAGES * POINTS_EACH
    assert values["samples_rejected_total", "bad_json"] == 1
    assert values["store_available",] == 1
    names = {name for name, *_ in values}
    assert {"spool_bytes", "spool_messages", "collector_acks_refused_total"} <= names


async def until_processed(client: BrokerClient, messages: int) -> None:
    async def processed() -> bool:
        return int((await client.request("GET", "/stats")).json["messages_processed"]) >= messages

    await until(processed)
