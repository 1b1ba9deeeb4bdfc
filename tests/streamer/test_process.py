"""The streamer as a process: killed, stopped, several of them, in a pipe and on a terminal."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from common.errors import StoreUnavailable
from common.storage.base import GpuFilter
from common.storage.sqlite.store import SqliteStore
from streamer.sources.generator import write_csv
from tests.support.broker import running_broker
from tests.support.collector import collector_process
from tests.support.faulty import Gate, opened
from tests.support.streamer import StreamerProcess, streamer_process

KILLS = int(os.environ.get("STREAMER_KILLS", "4"))
AWAY_SECONDS = float(os.environ.get("STREAMER_AWAY_SECONDS", "1"))
GPUS, METRICS = 24, 10
SAMPLES_PER_KILL = 240  # what a life sends at least
WAIT_SECONDS = 60.0
START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)


def fleet(path: Path, seconds: int, gpus: int = GPUS) -> Path:
    with path.open("wb") as file:
        write_csv(file, gpus, seconds, START, seed=3)
    return path


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Return as soon as something holds; raises TimeoutError."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await holds():  # noqa: ASYNC110  what is waited for is in another process
            await asyncio.sleep(0.01)


async def until_stored(path: Path, points: int) -> None:
    """Return when a store holds at least ``points``."""
    store = SqliteStore(path, writable=False)

    def stored() -> bool:
        try:
            return store.stats().points >= points
        except StoreUnavailable:
            return False

    await until(lambda: asyncio.to_thread(stored))
    store.close()


def points_in(path: Path) -> dict[str, int]:
    """Points by GPU, counted one by one."""
    store = SqliteStore(path, writable=False)
    try:
        return {
            gpu.id: store.count_points(gpu.id, 0, 1 << 45) for gpu in store.gpus(GpuFilter(), 1000)
        }
    finally:
        store.close()


async def let_live(streamer: StreamerProcess, chance: random.Random) -> None:
    """Wait until a streamer has sent something in this life, and then a little."""

    async def sends() -> bool:
        stats = await streamer.stats()
        return streamer.ended or (stats is not None and stats["points"] > 0)

    await until(sends)
    await asyncio.sleep(chance.uniform(0.0, 0.5))


@pytest.mark.parametrize("mode", ["keep", "now", "shift"])
@pytest.mark.timeout(600)
async def test_killed_at_random_moments_with_the_queue_away_each_point_is_stored_once(
    tmp_path: Path, mode: str
) -> None:
    seconds = max(30, KILLS * SAMPLES_PER_KILL // GPUS)
    chance, csv = random.Random(mode), fleet(tmp_path / "fleet.csv", seconds)
    async with running_broker(tmp_path / "broker") as broker:
        gate = Gate(broker.url)
        async with (
            opened(gate),
            collector_process(tmp_path, broker.url) as collector,
            streamer_process(
                tmp_path,
                gate.url,
                CSV_PATH=str(csv),
                EVENT_TIME=mode,
                RATE="500",
                BATCH_SIZE="7",
                CHECKPOINT_FILE=str(tmp_path / "checkpoint"),
                CHECKPOINT_INTERVAL="100ms",
                EXIT_WHEN_DONE="true",
            ) as streamer,
        ):
            for number in range(KILLS):
                await let_live(streamer, chance)
                if number == KILLS // 2:
                    await gate.shut()
                    await asyncio.sleep(AWAY_SECONDS)
                await streamer.kill()
                await streamer.start()
                if number == KILLS // 2:
                    await gate.open()
            assert await streamer.wait() == 0
            points = GPUS * seconds * METRICS
            await until_stored(collector.sqlite_path, points)
    assert set(points_in(collector.sqlite_path).values()) == {seconds * METRICS}
    assert streamer.output().count("goes on from the checkpoint") >= KILLS // 2


async def test_three_with_shards_store_each_row_once(tmp_path: Path) -> None:
    csv = fleet(tmp_path / "fleet.csv", 5, gpus=48)
    async with (
        running_broker(tmp_path / "broker") as broker,
        collector_process(tmp_path, broker.url) as collector,
    ):
        for index in range(3):
            directory = tmp_path / f"streamer-{index}"
            directory.mkdir()
            async with streamer_process(
                directory,
                broker.url,
                CSV_PATH=str(csv),
                EVENT_TIME="now",
                EXIT_WHEN_DONE="true",
                SHARD_INDEX=f"streamer-{index}",
                SHARD_COUNT="3",
            ) as streamer:
                assert await streamer.wait() == 0
        await until_stored(collector.sqlite_path, 48 * 5 * METRICS)
    assert set(points_in(collector.sqlite_path).values()) == {5 * METRICS}


async def test_sigterm_publishes_the_buffer_and_a_pipe_gets_json_lines(tmp_path: Path) -> None:
    csv = fleet(tmp_path / "fleet.csv", 60)
    async with (
        running_broker(tmp_path / "broker") as broker,
        streamer_process(
            tmp_path, broker.url, CSV_PATH=str(csv), RATE="200", COLLECT_INTERVAL="1h"
        ) as streamer,
    ):
        await let_live(streamer, random.Random(1))
        assert await streamer.terminate() == -signal.SIGTERM
        rows = (await broker.client.request("GET", "/topics")).json["topics"]
        messages = sum(part["next_offset"] for row in rows for part in row["partitions"])
    lines = [msgspec.json.decode(line) for line in streamer.output().splitlines()]
    last = lines[-1]
    assert last["event"] == "stopped"
    assert last["points_published"] == last["points"] > 0
    assert 1 <= messages <= 4  # one batch a partition, whatever was collected
    assert "\x1b" not in streamer.output()
