"""A collector before a real VictoriaMetrics that goes away and comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.storage.base import Store
from tests.collector.test_influx import GPUS as GPUS
from tests.collector.test_influx import MESSAGES, broker, exactly_all, samples_of, until_stored
from tests.support.broker import RunningBroker
from tests.support.collector import collector_process
from tests.support.stores import opening_db
from tests.support.victoria import VictoriaMetrics, running_victoria

DB = "fleet"

__all__ = ["broker", "samples_of"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    """A server that a test may break."""
    with running_victoria(tmp_path / "victoria") as server:
        yield server


@pytest.fixture
def store(server: VictoriaMetrics) -> Iterator[Store]:
    for open_it in opening_db(server, DB):
        yield open_it(writable=False)


def environment(server: VictoriaMetrics) -> dict[str, str]:
    return {
        "STORE": "victoriametrics",
        "VICTORIAMETRICS_URL": server.url,
        "VICTORIAMETRICS_DB": DB,
        "VICTORIAMETRICS_TIMEOUT": "2s",
        "DELIVERY_SIZE": "5",
        "QUEUE_BUFFER_SIZE": "50",
        "BATCH_SIZE": "20",
    }


async def test_killed_on_both_sides_each_point_is_stored_once(
    tmp_path: Path, broker: RunningBroker, server: VictoriaMetrics, store: Store
) -> None:
    async with collector_process(tmp_path, broker.url, **environment(server)) as collector:
        await until_stored(store, MESSAGES * GPUS // 5)
        server.kill()
        await collector.kill()
        await collector.start()  # while its store is away
        await asyncio.to_thread(server.start)
        await until_stored(store, MESSAGES * GPUS)
        server.kill()  # perhaps before the last write is on its disk: then it is written again
        await asyncio.to_thread(server.start)
        await until_stored(store, MESSAGES * GPUS)
    await exactly_all(store)
