"""A store that is away under load, and a disk that is full: everything waits, nothing is lost."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.errors import TelemetryError
from common.models import Gpu, Sample
from common.queue.http import HttpProducer
from common.storage.base import TelemetryQuery
from common.storage.sqlite.store import SqliteStore
from tests.collector.fakes import T0, message
from tests.faults.test_full_disk import fill
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import TOKEN, BrokerClient
from tests.support.collector import CollectorProcess, collector_process
from tests.support.mounts import ext4, tmpfs
from tests.support.waiting import until_told

AWAY_SECONDS = float(os.environ.get("COLLECTOR_AWAY_SECONDS", "3"))
LOAD_SECONDS = max(0.02, AWAY_SECONDS / 1000)
WAIT_SECONDS = 60.0 + AWAY_SECONDS
PARTITIONS = 4
GPUS = 100
NAMES = [f"metric_{n}" for n in range(10)]
CAP = 1 << 20
SEGMENT = 64 << 10
IN_FLIGHT_BYTES = 40 * 30_000  # QUEUE_BUFFER_SIZE messages beside the cap
SMALL = {
    "SPOOL_BYTES": str(CAP),
    "SPOOL_SEGMENT_BYTES": str(SEGMENT),
    "QUEUE_BUFFER_SIZE": "40",
    "DELIVERY_SIZE": "4",
}


class Load:
    """Publishes a message of every GPU a moment, each until it is taken."""

    def __init__(self, url: str) -> None:
        self.sent = 0
        self._producer = HttpProducer(url, SecretStr(TOKEN))
        self._on = True

    async def run(self) -> None:
        """Publish until told to stop."""
        while self._on:
            number = self.sent
            await self._send(number, message(*samples_of(number)))
            self.sent += 1
            await asyncio.sleep(LOAD_SECONDS)  # the rate of the load
        await self._producer.close()

    def stop(self) -> None:
        """What is being sent is still sent."""
        self._on = False

    async def _send(self, number: int, payload: bytes) -> None:
        while True:
            with contextlib.suppress(TelemetryError):
                await self._producer.send("telemetry", number % PARTITIONS, [payload], f"m{number}")
                return
            await asyncio.sleep(LOAD_SECONDS)


def samples_of(number: int) -> list[Sample]:
    metrics = dict.fromkeys(NAMES, number + 0.25)
    return [Sample(Gpu(uuid=f"GPU-{gpu}"), T0 + number * 1000, metrics) for gpu in range(GPUS)]


@contextlib.asynccontextmanager
async def loading(url: str) -> AsyncIterator[Load]:
    load = Load(url)
    running = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.stop()
        await running


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a SQLite store from writing, as a stuck writer or a backup would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


async def until_all_is_stored(broker: BrokerProcess, collector: CollectorProcess) -> None:
    async def done() -> bool:
        async with BrokerClient(broker.url) as client:
            rows = await client.groups("telemetry", "collectors")
        waits = (await collector.stats())["spool_messages"]
        return len(rows) == PARTITIONS and not waits and all(row["lag"] == 0 for row in rows)

    async with asyncio.timeout(WAIT_SECONDS):
        while not await done():  # noqa: ASYNC110  it is in other processes
            await asyncio.sleep(0.1)


def check(path: Path, messages: int) -> None:
    """Each message's points are there, with their own times and values, and nothing else."""
    store = SqliteStore(path, writable=False)
    assert store.stats().points == messages * GPUS * len(NAMES)
    for gpu in (0, GPUS - 1):
        page = store.telemetry(TelemetryQuery(f"GPU-{gpu}", messages * len(NAMES)))
        assert page is not None
        found = [
            (point.timestamp, point.value) for point in page.points if point.metric == NAMES[3]
        ]
        assert found == [(T0 + number * 1000, number + 0.25) for number in range(messages)]
    store.close()


@pytest.mark.timeout(180 + 2 * AWAY_SECONDS)
async def test_a_store_away_under_load_costs_nothing_whoever_restarts_meanwhile(
    tmp_path: Path,
) -> None:
    async with (
        broker_process(tmp_path / "broker") as broker,
        collector_process(tmp_path, broker.url, **SMALL) as collector,
        loading(broker.url) as load,
    ):
        await until_told(lambda: is_true(load.sent > 5))
        with locked(collector.sqlite_path):
            for restart in (nothing, broker.kill, nothing, collector.kill, nothing):
                await asyncio.sleep(AWAY_SECONDS / 5)  # the length of the outage
                await restart()
                if restart == broker.kill:
                    await broker.start()
                    await broker.until_ready()
                if restart == collector.kill:
                    await collector.start()
            await until_full(collector)
            assert (await collector.stats())["spool_bytes"] < CAP + SEGMENT + IN_FLIGHT_BYTES
        load.stop()
        await until_told(lambda: is_true(load.sent > 60))
        await until_all_is_stored(broker, collector)
        check(collector.sqlite_path, load.sent)
        assert (await collector.stats())["spool_bytes"] < CAP
    assert "Traceback" not in collector.output()
    assert "spool full, consumption stops" in collector.output()


async def nothing() -> None:
    """No restart this time."""


async def is_true(truth: bool) -> bool:
    return truth


async def until_full(collector: CollectorProcess) -> None:
    """Return when the spool has reached its cap."""

    async def full() -> bool:
        return bool((await collector.stats())["spool_bytes"] >= CAP)

    await until_told(full)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    if request.param == "tmpfs":
        with tmpfs(tmp_path / "disk", "size=4m") as at:
            yield at
    else:
        with ext4(tmp_path / "disk.img", tmp_path / "disk", megabytes=8) as at:
            yield at


async def test_a_disk_full_under_the_spool_costs_nothing(tmp_path: Path, disk: Path) -> None:
    own = {"DATA_DIR": str(disk), **SMALL}  # its log and its store lie elsewhere
    async with (
        broker_process(tmp_path / "broker") as broker,
        collector_process(tmp_path, broker.url, **own) as collector,
        loading(broker.url) as load,
    ):
        await until_told(lambda: stored_some(collector))
        fill(disk / "filler")
        await until_told(lambda: refused(collector))
        await until_told(lambda: nothing_is_acked(broker, load))  # what was spooled before may be
        (disk / "filler").unlink()
        load.stop()
        await until_all_is_stored(broker, collector)
        check(tmp_path / "points.sqlite", load.sent)
    assert "Traceback" not in collector.output()


async def stored_some(collector: CollectorProcess) -> bool:
    return bool((await collector.stats())["telemetry_stored"])


async def refused(collector: CollectorProcess) -> bool:
    return "spooling failed, nothing is acked" in collector.output()


async def nothing_is_acked(broker: BrokerProcess, load: Load) -> bool:
    """Whether nothing was acked while twenty more messages came."""
    before, sent = await settled(broker), load.sent
    await until_told(lambda: is_true(load.sent > sent + 20))
    return await settled(broker) == before


async def settled(broker: BrokerProcess) -> int:
    async with BrokerClient(broker.url) as client:
        return sum(row["acked"] for row in await client.groups("telemetry", "collectors"))
