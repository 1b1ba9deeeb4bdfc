"""kill -9 of everything between a file and a store that an engine of others connects.

``ENGINE_POINTS=1200000`` makes it a run of that size; the suite's is small.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from common.errors import StoreUnavailable
from common.storage.base import GpuFilter
from common.storage.sqlite.store import SqliteStore
from streamer.sources.generator import write_csv
from tests.queue.engine import Engine
from tests.support.collector import CollectorProcess, collector_process
from tests.support.streamer import streamer_process
from tests.support.waiting import until_told

POINTS = int(os.environ.get("ENGINE_POINTS", "12000"))
GPUS, METRICS = 24, 10
SECONDS = POINTS // (GPUS * METRICS)
RATE = max(250, POINTS // METRICS // 60)  # samples a second: a minute or less
START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)
WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.02
SMALL = {
    "DELIVERY_SIZE": "4",
    "QUEUE_BUFFER_SIZE": "40",
    "BATCH_SIZE": "200",
    "LOG_LEVEL": "info",
}
DIES = {"INSTANCE_ID": "other", "ACK_MODE": "stored"}  # nothing of the queue is on its disk alone


def points_in(path: Path) -> int:
    """How many are stored; none while there is no store."""
    store = SqliteStore(path, writable=False)
    try:
        return store.stats().points
    except StoreUnavailable:
        return 0
    finally:
        store.close()


def by_gpu(path: Path) -> set[int]:
    """The numbers of points that GPUs have."""
    store = SqliteStore(path, writable=False)
    try:
        return {store.count_points(gpu.id, 0, 1 << 45) for gpu in store.gpus(GpuFilter(), 1000)}
    finally:
        store.close()


async def until_stored(path: Path, points: int) -> int:
    """Return once at least so many are stored, or all that there are."""
    points = min(points, SECONDS * GPUS * METRICS)
    async with asyncio.timeout(WAIT_SECONDS):
        while (found := await asyncio.to_thread(points_in, path)) < points:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
    return found


async def until_delivered(collector: CollectorProcess) -> None:
    """Return once a collector has been given something."""

    async def was_given() -> bool:
        return bool((await collector.stats())["queue_delivered"])

    await until_told(was_given, WAIT_SECONDS)


async def kill_everything(engine: Engine, directory: Path) -> None:
    """Kill each in turn while points flow, one collector for good; each point is stored once."""
    csv, shared = directory / "fleet.csv", directory / "shared.sqlite"
    with csv.open("wb") as file:
        write_csv(file, GPUS, SECONDS, START, seed=3)
    (directory / "other").mkdir()
    url = engine.hasty_address().url
    common = {"MSG_QUEUE_TOPIC": "killed", "SQLITE_PATH": str(shared), **SMALL}
    async with (
        collector_process(directory, url, **common) as first,
        collector_process(directory / "other", url, **common, **DIES) as second,
        streamer_process(
            directory,
            url,
            MSG_QUEUE_TOPIC="killed",
            CSV_PATH=str(csv),
            EVENT_TIME="keep",
            RATE=str(RATE),
            BATCH_SIZE="7",
            CHECKPOINT_FILE=str(directory / "checkpoint"),
            CHECKPOINT_INTERVAL="100ms",
            EXIT_WHEN_DONE="true",
        ) as streamer,
    ):
        await until_delivered(first)
        await until_delivered(second)  # they share
        stored = await until_stored(shared, POINTS // 8)
        await first.kill()
        await first.start()
        stored = await until_stored(shared, stored + POINTS // 8)
        await streamer.kill()
        await streamer.start()
        stored = await until_stored(shared, stored + POINTS // 8)
        engine.kill()
        engine.start()
        await until_stored(shared, stored + POINTS // 8)
        await second.kill()  # for good: the first has its share
        assert await streamer.wait() == 0
        await until_stored(shared, SECONDS * GPUS * METRICS)
    assert by_gpu(shared) == {SECONDS * METRICS}
    assert points_in(shared) == SECONDS * GPUS * METRICS
