"""kill -9 wherever it hurts: each point is stored once, each bad one is one dead letter."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import TelemetryQuery
from common.storage.sqlite.store import SqliteStore
from tests.collector.fakes import T0, message, raw_message
from tests.collector.test_letters import encoded
from tests.support.broker import RunningBroker, running_broker
from tests.support.collector import CollectorProcess, collector_process
from tests.support.doomed import PLACES
from tests.support.waiting import until_told

KILLS = int(os.environ.get("COLLECTOR_KILLS", "6"))
MESSAGES = 200
SAMPLES_EACH = 5
PARTITIONS = 4
SMALL = {
    "DELIVERY_SIZE": "4",
    "QUEUE_BUFFER_SIZE": "40",
    "BATCH_SIZE": "20",
    "SPOOL_SEGMENT_BYTES": "8192",
}
BAD_EVERY = 10  # every tenth message has a sample too many, every tenth is nonsense


def gpu_of(number: int) -> str:
    return f"GPU-{number % 7}"


def samples_of(number: int) -> list[Sample]:
    """What a message holds; the value says which message it was."""
    first = T0 + number * SAMPLES_EACH
    return [
        Sample(Gpu(uuid=gpu_of(number)), first + n, {"power": number + 0.5, "temperature": 40.0})
        for n in range(SAMPLES_EACH)
    ]


def payload_of(number: int) -> bytes:
    """A good message, one with a bad sample in it, or none at all."""
    if number % BAD_EVERY == 3:
        broken = b'{"gpu":{},"timestamp":%d,"metrics":{"a":1.0}}' % (T0 + number)
        return raw_message(encoded(*samples_of(number)), broken)
    return b"nonsense %d" % number if number % BAD_EVERY == 7 else message(*samples_of(number))


def expected(messages: int) -> dict[str, dict[tuple[int, str], float]]:
    """Every point by GPU."""
    points: dict[str, dict[tuple[int, str], float]] = {}
    for number in range(messages):
        for each in samples_of(number) if number % BAD_EVERY != 7 else ():
            of_gpu = points.setdefault(each.gpu.uuid, {})
            of_gpu |= {(each.timestamp, name): value for name, value in each.metrics.items()}
    return points


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    async with running_broker(
        tmp_path / "broker", visibility_timeout_seconds=1.0, max_deliveries=100
    ) as broker:
        yield broker


async def produce(broker: RunningBroker, first: int, count: int) -> None:
    for number in range(first, first + count):
        payload = payload_of(number)
        await broker.client.produce_lines("telemetry", payload, partition=number % PARTITIONS)


async def until_done(broker: RunningBroker) -> None:
    """Return when the group is through with everything."""

    async def done() -> bool:
        rows = await broker.client.groups("telemetry", "collectors")
        return len(rows) == PARTITIONS and all(row["lag"] == 0 for row in rows)

    await until_told(done)


async def until_spool_is_empty(collector: CollectorProcess) -> None:
    async def empty() -> bool:
        return bool((await collector.stats())["spool_messages"] == 0)

    await until_told(empty)


async def check(broker: RunningBroker, path: Path, messages: int) -> None:
    """Every point is there once, to the digit, and every bad thing is one dead letter."""
    store = SqliteStore(path, writable=False)
    found = {
        gpu: {
            (point.timestamp, point.metric): point.value
            for point in (store.telemetry(TelemetryQuery(gpu, 100_000)) or empty()).points
        }
        for gpu in expected(messages)
    }
    stats = store.stats()
    store.close()
    assert found == expected(messages)
    assert stats.points == sum(len(of_gpu) for of_gpu in found.values())
    letters = await dead_letters(broker)
    rejected = [letter["payload"] for letter in letters if "nonsense" in letter["payload"]]
    wanted = [number for number in range(messages) if number % BAD_EVERY == 7]
    assert sorted(set(rejected)) == sorted(f"nonsense {number}" for number in wanted)
    parts = [letter for letter in letters if "nonsense" not in letter["payload"]]
    assert len(parts) == sum(number % BAD_EVERY == 3 for number in range(messages))
    assert {letter["error"] for letter in parts} == {"no_identity"}


def empty() -> Any:
    raise AssertionError("a GPU is missing")


async def dead_letters(broker: RunningBroker) -> list[Any]:
    letters: list[Any] = []
    place = 0
    while True:
        parameters = {"topic": "telemetry", "group": "collectors", "from": str(place)}
        page = (await broker.client.request("GET", "/dlq", params=parameters)).json
        if not page["dead_letters"]:
            assert page["depth"] == len(letters)
            return letters
        letters += page["dead_letters"]
        place = page["next"]


@pytest.mark.parametrize(
    ("place", "passes"), [(place, 1 + 2 * (n % 2)) for n, place in enumerate(PLACES)]
)
async def test_killed_at_a_place_in_its_code_each_point_is_there_once(
    tmp_path: Path, broker: RunningBroker, place: str, passes: int
) -> None:
    await produce(broker, 0, MESSAGES)
    async with collector_process(tmp_path, broker.url, **SMALL) as collector:
        await collector.kill()
        await produce(broker, MESSAGES, 40)
        code = await collector.run("tests.support.doomed", place, str(passes))
        assert code == -signal.SIGKILL
        await collector.start()
        await until_done(broker)
        await until_spool_is_empty(collector)
        await check(broker, collector.sqlite_path, MESSAGES + 40)


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("mode", ["spooled", "stored"])
async def test_killed_at_random_moments_each_point_is_there_once(
    tmp_path: Path, broker: RunningBroker, mode: str
) -> None:
    chance = random.Random(KILLS)
    each = 60
    async with collector_process(tmp_path, broker.url, ACK_MODE=mode, **SMALL) as collector:
        for life in range(KILLS):
            await produce(broker, life * each, each // 2)
            producing = asyncio.create_task(produce(broker, life * each + each // 2, each // 2))
            await asyncio.sleep(chance.random() * 0.25)  # a moment is what is drawn
            await collector.kill()
            await producing
            await collector.start()
        await until_done(broker)
        await until_spool_is_empty(collector)
        await check(broker, collector.sqlite_path, KILLS * each)


async def test_paused_past_the_visibility_timeout_beside_another_nothing_is_doubled(
    tmp_path: Path, broker: RunningBroker
) -> None:
    await produce(broker, 0, MESSAGES)
    shared = {"SQLITE_PATH": str(tmp_path / "shared.sqlite"), **SMALL}
    (tmp_path / "other").mkdir()
    async with collector_process(tmp_path, broker.url, **shared) as first:
        await until_told(lambda: stored(tmp_path / "shared.sqlite"))
        first.pause()
        try:
            async with collector_process(tmp_path / "other", broker.url, **shared) as second:
                await produce(broker, MESSAGES, 40)
                await until_told(lambda: all_left_to(second, broker))
                first.go_on()
                await until_done(broker)
                for collector in (first, second):
                    await until_spool_is_empty(collector)
                await check(broker, tmp_path / "shared.sqlite", MESSAGES + 40)
        finally:
            first.go_on()


async def all_left_to(second: CollectorProcess, broker: RunningBroker) -> bool:
    """Whether the broker is done, or the paused one's leases have run out at least.

    A collector that was paused within a write keeps the SQLite file to itself until it goes on.
    """
    rows = await broker.client.groups("telemetry", "collectors")
    expired = sum(row["expired"] for row in rows) > 0
    return expired and bool((await second.stats())["queue_delivered"])


async def stored(path: Path) -> bool:
    store = SqliteStore(path, writable=False)
    try:
        return store.stats().points > 0
    except StoreUnavailable:
        return False
    finally:
        store.close()
